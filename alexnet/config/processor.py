"""Whether this machine computes in bfloat16, found out without torch."""

import os
from pathlib import Path

from alexnet.errors import UserError

FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""The instructions by Linux's names: two of x86-64, one of arm64."""
TOO_LOW = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of ``ONEDNN_MAX_CPU_ISA`` that keep oneDNN, whose kernels torch computes with, from such instructions."""


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bfloat16 that torch may use."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")
    if limit.upper() in TOO_LOW:
        return False
    lines = cpuinfo.read_text(errors="ignore").splitlines() if cpuinfo.exists() else []
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return not flags.isdisjoint(FLAGS)


def may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether there are signs of a GPU that the training may use; only CUDA itself knows whether it can."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and (any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists())


def refuse_emulation(precision: str, supported: bool | None = None) -> None:
    """Raise ``UserError`` for a training in bfloat16 that would be emulated, some twenty times slower than float32.

    ``supported``: whether the training's device computes in bfloat16; None where that is still to be found out.
    """
    if supported is None:
        supported = has_bfloat16() or may_have_gpu()
    if precision == "bfloat16" and not supported:
        raise UserError(
            f"params.yaml: precision: bfloat16 is refused: neither the processor ({', '.join(FLAGS)}) nor a GPU has instructions "
            "for it here, or ONEDNN_MAX_CPU_ISA forbids them, and emulated it is slow; set precision: float32"
        )
