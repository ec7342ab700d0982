"""Settings of the machine: they change how fast a stage runs and never a number, so no stage of dvc.yaml depends on them."""

from typing import Annotated

from pydantic import Field

from alexnet.config.section import Positive, Section


class Machine(Section):
    """The section ``machine``."""

    workers: Positive | None
    """Worker processes in pca and preprocess, decoding threads per rank in train; null for one per core, in train divided by the
    ranks."""
    checkpoint_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    """Minutes between checkpoints of a training; null for none."""
