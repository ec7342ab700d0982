"""Settings of the machine: they change how fast a stage runs and never a number, so no stage of dvc.yaml depends on them."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from alexnet.config.section import AtLeastZero, Handful, Section

MOST_MINUTES = 10_000
"""A week; torch takes no much longer time."""


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of ``HOST:PORT``. Raises ``ValueError``."""
    host, _, port = address.rpartition(":")
    if not (re.fullmatch(r"[^\s/:]+", host) and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 1 << 16):
        raise ValueError("should be a host and a port, such as 10.0.0.1:29400")
    return host, int(port)


def checked_address(address: str) -> str:
    """The same address. Raises ``ValueError`` if it is none."""
    host_and_port(address)
    return address


class Machine(Section):
    """The section ``machine``."""

    workers: Handful | None
    """Worker processes in pca and preprocess, decoding threads per rank in train; null for one per core, in train on
    a CPU divided by the ranks."""
    dask: Annotated[str, Field(pattern=r"^(tcp|tls)://[^\s/]+:\d+$")] | None
    """Address of the scheduler of a Dask cluster that works in pca and preprocess; null for processes here."""
    checkpoint_minutes: AtLeastZero | None
    """Minutes between checkpoints of a training; null for none."""
    patience: Annotated[float, Field(gt=0, le=MOST_MINUTES)]
    """Minutes that a rank of a training waits for another that does not answer, before the training ends."""
    nodes: Handful
    """Machines over which the ranks of a training are spread evenly."""
    address: Annotated[str, AfterValidator(checked_address)] | None
    """Host and port at which the first of several machines is reached by the others; null with one."""
    log_model: bool
    """Whether MLflow gets a copy of the trained model, and registers it."""
