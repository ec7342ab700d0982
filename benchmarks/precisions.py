"""The precisions that this machine computes by instructions of its own; without them bfloat16 takes some twenty times as long."""

import os

import torch

from alexnet.parallel.runtime import supports_bfloat16

HIDING = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of oneDNN's ONEDNN_MAX_CPU_ISA that hide a CPU's bfloat16 instructions."""


def the_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16."""
    hidden = device.type == "cpu" and os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in HIDING
    return not hidden and supports_bfloat16(device)


def precisions() -> tuple[str, ...]:
    """Those that are measured here, the fastest first."""
    return ("bfloat16", "float32") if has_bfloat16(the_device()) else ("float32",)
