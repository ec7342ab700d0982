"""The processor: its name, and whether it has instructions for bfloat16, without asking torch."""

import os
import platform
from pathlib import Path

from alexnet.errors import UserError

FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""Linux's names of the instructions: two of x86-64, one of arm64."""
TOO_LOW = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of ``ONEDNN_MAX_CPU_ISA`` that keep oneDNN, whose kernels torch uses, from such instructions."""


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as Linux has it, else its kind."""
    lines = cpuinfo.read_text(errors="ignore").splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bfloat16 that torch may use."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")
    if limit.upper() in TOO_LOW:
        return False
    lines = cpuinfo.read_text(errors="ignore").splitlines() if cpuinfo.exists() else []
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return not flags.isdisjoint(FLAGS)


def may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether there may be a GPU to train on; only CUDA knows for sure."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and (any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists())


def refuse_emulation(precision: str, supported: bool | None = None) -> None:
    """Raise ``UserError`` if bfloat16 would be emulated, some twenty times slower than float32.

    ``supported``: whether the training's device computes in bfloat16; None if that is not known yet.
    """
    if supported is None:
        supported = has_bfloat16() or may_have_gpu()
    if precision == "bfloat16" and not supported:
        raise UserError(
            f"params.yaml: precision: bfloat16 is not supported here: neither the processor ({', '.join(FLAGS)}) nor a GPU has "
            "instructions for it, or ONEDNN_MAX_CPU_ISA disables them, and emulation is slow; set precision: float32"
        )
