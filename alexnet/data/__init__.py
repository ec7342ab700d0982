"""From image files of any source to the 256x256 shards that training reads.

``sources`` finds the images and ``manifest`` lists them; ``pixels`` brings one to the canonical square, ``workers`` many at once;
``eigenbasis`` and ``shards`` are made of these squares.
"""
