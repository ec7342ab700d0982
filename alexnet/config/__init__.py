"""What params.yaml may say: each setting declared once, and the registries of nets and sources. Starts without torch.

``section`` is the base class, ``data``, ``training`` and ``machine`` hold the keys, ``check`` validates all of them together.
"""
