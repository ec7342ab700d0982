"""How a process computes: threads, deterministic kernels, precision."""

import ctypes
import os
from contextlib import AbstractContextManager

import torch

from alexnet.config.processor import has_bfloat16

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def prepare_process(threads: int) -> None:
    """Set what every computing process needs: its CPU threads, deterministic kernels, and memory kept between steps.

    Products of float32 are float32 on GPUs too, never TF32, and those of bfloat16 are summed in float32: precision is a setting
    and not the hardware's choice.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # What use_deterministic_algorithms(True, warn_only=True) does, without the second it takes to load the compiler.
    torch.set_deterministic_debug_mode("warn")
    # Filling new memory with NaN, the default in this mode, takes time and guards against nothing here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cudnn.allow_tf32 = False
    # By default glibc maps and unmaps each activation, which halves the speed on a CPU: let it reuse large blocks.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Compute in ``precision`` inside."""
    return torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32)


def supports_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False)) if device.type == "cuda" else has_bfloat16()
