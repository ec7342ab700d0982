"""Testing: the centre crop, the ten crops, and what is written down of them."""
