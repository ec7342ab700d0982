"""A session says in the model's card what was trained, on what, and which epoch is kept."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.nets import net_of, settings_of
from helpers.training import one_process, session_of

from alexnet.models.saved import load_model, save_weights
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.state import Epoch
from alexnet.train.trainer import Silent

CHANGES: dict[str, Any] = {"batch_size": 10, "epochs": 2, "lr": 1e-9, "precision": "float32", "pipeline.ranks": 1}
"""At this rate the first epoch stays the best one."""


@pytest.mark.parametrize(("keep", "epoch"), [("best", 1), ("last", 2)])
def test_the_card_and_the_weights_are_the_models(tiny: Path, tmp_path: Path, keep: str, epoch: int) -> None:
    settings = settings_of("cifar10-32", keep=keep, **CHANGES)
    session = session_of(one_process(), settings, tiny)
    history = session.trainer.fit(Silent(), Checkpoint(None, 0, one_process()))
    weights = session.engine.full_state_dict()
    card = session.card(history, save_weights(tmp_path / "model.safetensors", weights, session.mean))
    assert card.parameters == sum(parameter.numel() for parameter in net_of("alexnet-32").parameters())
    assert (card.epoch, card.epochs, card.classes) == (epoch, 2, [str(label) for label in range(10)])
    assert card.data.images == {"train": 20, "val": 20, "test": 20}
    assert (card.settings["keep"], card.settings["pipeline.microbatches"]) == (keep, settings["pipeline"]["microbatches"])
    assert list(card.settings) == sorted(card.settings)
    assert "pipeline.replicas" not in card.settings
    net, mean = load_model(tmp_path / "model.safetensors", card)
    assert all(torch.equal(value, weights[name]) for name, value in net.named_parameters())
    assert torch.equal(mean, session.mean)


def test_several_replicas_are_in_the_card_and_in_the_line_that_describes_the_training(tiny: Path) -> None:
    settings = settings_of("cifar10-32", **CHANGES | {"batch_size": 8, "pipeline.replicas": 2})
    session = session_of(one_process(), settings, tiny)
    assert session.card([Epoch(1, 0.01, 2.3, 0.9, 2.3, 0.9, 0.5)], "").settings["pipeline.replicas"] == 2
    assert "2 replicas, one process for all stages, as there is one GPU for 2 ranks, 2 microbatches" in session.describe()
