"""The precisions that this machine computes by instructions of its own; without them bfloat16 takes some twenty times as long."""

import torch

from alexnet.models.numerics import supports_bfloat16


def the_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def precisions() -> tuple[str, ...]:
    """Those that are measured here, the fastest first."""
    return ("bfloat16", "float32") if supports_bfloat16(the_device()) else ("float32",)
