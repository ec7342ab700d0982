"""Settings of the machine: they change how fast a stage runs and never a number, so no stage of dvc.yaml depends on them."""

from alexnet.config.section import AtLeastZero, Handful, Section


class Machine(Section):
    """The section ``machine``."""

    workers: Handful | None
    """Worker processes in pca and preprocess, decoding threads per rank in train; null for one per core, in train divided by the
    ranks."""
    checkpoint_minutes: AtLeastZero | None
    """Minutes between checkpoints of a training; null for none."""
    log_model: bool
    """Whether MLflow gets a copy of the trained model, and registers it."""
