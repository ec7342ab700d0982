"""The settings of params.yaml as typed, frozen values.

``section`` is the base, ``data`` and ``training`` hold the keys by the rooms that read them, ``whole`` puts them together
and checks them against each other. A stage depends on the part that it reads, not on the whole.
"""
