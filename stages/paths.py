"""Where the outs of the stages lie, relative to the working directory; dvc.yaml says the same, and a test compares."""

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
