"""Settings of the machine: they change how fast a stage runs and never a number, so no stage of dvc.yaml depends on them."""

from typing import Annotated

from pydantic import Field

from alexnet.config.section import AtLeastZero, Handful, Section

MOST_MINUTES = 10_000
"""A week; torch takes no much longer time."""


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
    log_model: bool
    """Whether MLflow gets a copy of the trained model, and registers it."""
