"""The settings of what is measured: the paper's net and optimiser in one process, whatever params.yaml says at the moment."""

from typing import Any

from workflow import recipe

PAPER = recipe.applied(
    recipe.shipped(),
    recipe.read("paper-imagenet")
    | {
        "data.source": "digits",
        "data.root": None,
        "data.val_fraction": 0.1,
        "data.max_rejects": 0,
        "data.blends": 1,
        # Low enough for random labels; the speed does not depend on it.
        "lr": 0.001,
        "lr_schedule": "constant",
        "pipeline.ranks": 1,
        "pipeline.cuts": [],
        "machine.checkpoint_minutes": None,
    },
)
"""Every setting."""


def paper(**changes: Any) -> dict[str, Any]:
    """``PAPER`` with ``changes`` on top; double underscores stand for the dots in names."""
    return recipe.applied(PAPER, {name.replace("__", "."): value for name, value in changes.items()})
