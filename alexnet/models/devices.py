"""The device that computes: a GPU that torch can use, or else the CPU."""

import os
import re
import warnings
from pathlib import Path

import torch

from alexnet.errors import UserError

HIDE = "CUDA_VISIBLE_DEVICES= in front of the command uses the CPU"


def usable_gpus(devices: Path = Path("/dev")) -> int:
    """How many GPUs torch can use; 0 without any, or if ``CUDA_VISIBLE_DEVICES`` is empty.

    Raises ``UserError`` with the driver's or the card's name if there is one that it cannot use.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return 0
    try:
        with warnings.catch_warnings(action="ignore"):  # of cards, which the errors below name
            torch.cuda.init()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        if not any(devices.glob("nvidia[0-9]*")):
            return 0
        raise UserError(f"the GPU cannot be used: {_reason(error)}; {HIDE}") from None
    count, codes = torch.cuda.device_count(), torch.cuda.get_arch_list()
    for number in range(count):
        major, minor = torch.cuda.get_device_capability(number)
        if not _runs(codes, (major, minor)):
            raise UserError(
                f"{torch.cuda.get_device_name(number)} cannot be used: its compute capability is {major}.{minor}, and torch "
                f"{torch.__version__} has code for {', '.join(codes)}; choose others with CUDA_VISIBLE_DEVICES, or {HIDE}"
            )
    return count


def computing_device() -> torch.device:
    """The first GPU, or the CPU if there is none. Raises ``UserError`` as ``usable_gpus`` does."""
    return torch.device("cuda", 0) if usable_gpus() else torch.device("cpu")


def card_names(device: torch.device, count: int) -> list[str]:
    """The kinds of the first ``count`` GPUs, on which the last bits of a training depend; none for the CPU."""
    return (
        sorted({torch.cuda.get_device_name(number) for number in range(min(count, torch.cuda.device_count()))})
        if device.type == "cuda"
        else []
    )


def _reason(error: RuntimeError) -> str:
    """What torch says, in its first sentence, and what was chosen."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    said = re.split(r"\.\s|\n", str(error))[0].rstrip(".")
    return f"CUDA_VISIBLE_DEVICES={chosen}: {said}" if chosen else said


def _runs(codes: list[str], capability: tuple[int, int]) -> bool:
    """Whether a card of that compute capability runs one of ``codes``, such as ``sm_80`` and ``compute_90``.

    Machine code (sm) runs on its own minor version and later ones of the same major version, intermediate code on all later ones.
    """
    for name in codes:
        kind, _, number = name.partition("_")
        version = divmod(int(re.sub(r"\D", "", number)), 10)
        if version <= capability and (kind == "compute" or version[0] == capability[0]):
            return True
    return False
