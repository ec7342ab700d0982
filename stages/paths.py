"""Where the stages' outs are, relative to the working directory; dvc.yaml says the same, and a test compares."""

import os
from pathlib import Path

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
EIGENBASIS = Path("data/eigenbasis.json")
MEAN = Path("data/mean.npy")
SHARDS = Path("data/shards")
MODEL = Path("models/alexnet.safetensors")
CARD = Path("models/alexnet.json")
CURVES = Path("reports/train.csv")
METRICS = Path("reports/metrics.json")
EVALUATION = Path("data/evaluation")
FIGURES = Path("reports/figures")
PAGE = Path("reports/index.html")
SUMMARY = Path("reports/README.md")
CHECKPOINTS = Path(".checkpoints")
"""In the main repository."""


def main_repository() -> Path:
    """The main repository, from DVC's temporary experiment folders too."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd())
