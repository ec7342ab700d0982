"""Learning rates against torch's own schedules, and against the paper's words for the plateau."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.nets import settings_of
from helpers.training import one_process, trained
from torch.optim import lr_scheduler

from alexnet.config.training import Training
from alexnet.train.schedules import SCHEDULES

EPOCHS = 12


def rates(shipped: Callable[[], dict[str, Any]], errors: Sequence[float] = (1.0,) * EPOCHS, **changes: Any) -> list[float]:
    """The rate of each epoch, then of the one that would follow."""
    settings = Training.read(shipped() | {"epochs": len(errors), "lr": 0.01} | changes)
    return [SCHEDULES[settings.lr_schedule](settings, errors[:done]) for done in range(len(errors) + 1)]


@pytest.mark.parametrize(
    ("changes", "reference"),
    [
        ({"lr_schedule": "milestones", "lr_milestones": [5, 8]}, lambda o: lr_scheduler.MultiStepLR(o, [5, 8])),
        ({"lr_schedule": "step", "lr_step": 3, "lr_factor": 0.5}, lambda o: lr_scheduler.StepLR(o, 3, 0.5)),
        ({"lr_schedule": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS)),
        ({"lr_schedule": "constant"}, lambda o: lr_scheduler.ConstantLR(o, 1.0)),
    ],
    ids=lambda value: value["lr_schedule"] if isinstance(value, dict) else "",
)
def test_rates_are_those_of_torchs_schedule(shipped: Any, changes: dict[str, Any], reference: Callable[[Any], Any]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    scheduler = reference(optimizer)
    expected = [0.01]
    for _ in range(EPOCHS):
        optimizer.step()
        scheduler.step()
        expected.append(scheduler.get_last_lr()[0])
    assert rates(shipped, **changes) == pytest.approx(expected, abs=1e-12)


def test_the_authors_rates_drop_after_epochs_25_51_and_79(shipped: Any) -> None:
    """The shipped milestones, over the 91 epochs of the authors' code."""
    expected = [0.01] * 25 + [0.001] * 26 + [1e-4] * 28 + [1e-5] * 13
    assert rates(shipped, [1.0] * 91, lr_schedule="milestones", lr_factor=0.1) == pytest.approx(expected, rel=1e-12)


def test_plateau_drops_where_the_error_stops_improving_three_times_at_the_most(shipped: Any) -> None:
    errors = [0.5, 0.4, 0.4, 0.41, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    expected = [0.01, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 1e-4, 1e-4, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5]
    assert rates(shipped, errors, lr_schedule="plateau", lr_patience=2) == pytest.approx(expected, rel=1e-12)


def test_early_stop_ends_a_training_so_many_epochs_after_the_best_one(tiny: Path) -> None:
    """At a rate of next to nothing the validation error stays where it begins, so the first epoch is the best."""
    small = {"lr": 1e-9, "batch_size": 10, "epochs": 5, "crop_size": 28, "crop_padding": 0}
    pipeline = {"ranks": 1, "replicas": 1, "cuts": [], "schedule": "GPipe", "microbatches": 1}
    base = settings_of("cifar10-32", **small) | {"pipeline": pipeline}
    for early_stop, epochs in ((None, 5), (2, 3), (1, 2)):
        _, history, _ = trained(one_process(), base | {"early_stop": early_stop}, tiny)
        assert len(history) == epochs
