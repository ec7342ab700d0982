"""Functions that torch's compiler turns into one kernel each on a GPU, where many small ones would take longer."""

import os
import sysconfig
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from shutil import which
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled_on_gpu(function: Function) -> Function:
    """``function`` of tensors, the first of which says the device; compiled on a GPU, if ``compiler_works``."""

    @wraps(function)
    def call(tensor: Tensor, *others: Any) -> Any:
        return _compiled(function)(tensor, *others) if tensor.is_cuda and compiler_works() else function(tensor, *others)

    return cast(Function, call)


@cache
def compiler_works() -> bool:
    """Whether there is what Triton needs, which makes the kernels: a GPU that it knows, a C compiler and Python's headers."""
    from torch.utils._triton import has_triton

    compiler = os.environ.get("CC") or which("gcc") or which("clang")
    return bool(compiler and Path(sysconfig.get_paths()["include"], "Python.h").exists() and has_triton())


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # A pool of processes would be started for a handful of kernels.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    # What is read more than four times would be written to memory first.
    return torch.compile(function, options={"realize_reads_threshold": 8})
