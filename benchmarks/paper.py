"""The settings of what is measured: the paper's net and optimiser in one process, whatever params.yaml says at the moment."""

from typing import Any

from workflow import recipe

PAPER: dict[str, Any] = {
    "seed": 0,
    "data": {
        "source": "digits", "root": None, "val_fraction": 0.1, "test_fraction": 0.2, "limit": None, "max_rejects": 0, "blends": 1,
    },
    "pca": {"images": None},
    "preprocess": {"size": 256, "quality": 95},
    "model": "alexnet",
    "classes": None,
    "init_from": None,
    "activation": "relu",
    "pool": "overlapping",
    "lrn": "paper",
    "lrn_scope": "tower",
    "towers": 2,
    "dropout": "classic",
    "crop_size": 227,
    "crop_padding": 0,
    "mean": "image",
    "scale": 255,
    "flip": None,
    "color_noise": 0.1,
    "color_noise_scale": "stdev",
    "init": "paper",
    "optimizer": "sgd",
    # Low enough for random labels; the speed does not depend on it.
    "lr": 0.001,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "bias_lr_mult": 1.0,
    "bias_decay": None,
    "batch_size": 128,
    "epochs": 90,
    "early_stop": None,
    "lr_schedule": "constant",
    "lr_factor": 0.1,
    "lr_patience": 5,
    "lr_milestones": [],
    "lr_step": 30,
    "keep": "last",
    "precision": "float32",
    "threads": 1,
    "pipeline": {"ranks": 1, "cuts": [], "schedule": "InterleavedZeroBubble", "microbatches": 4},
    "machine": {"workers": None, "checkpoint_minutes": None},
}  # fmt: skip
"""Every setting there is."""


def paper(**changes: Any) -> dict[str, Any]:
    """``PAPER`` with ``changes`` on top; double underscores stand for the dots in names."""
    return recipe.applied(PAPER, {name.replace("__", "."): value for name, value in changes.items()})
