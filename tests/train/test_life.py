"""A training that ends early, is kept, or is carried on has the bytes of one that was never disturbed."""

import os
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.nets import legal
from helpers.stopped import MODEL, STEPS, Result, alone, recipe, undisturbed
from helpers.training import Recorder, one_process, session_of

from alexnet.config.training import Training
from alexnet.files.finished import finished, mark_stored
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.train.folders import OTHERS
from alexnet.train.schedules import NEED_EPOCHS, SCHEDULES
from alexnet.train.state import Epoch
from alexnet.train.stopping import FINISH, Stopped, ask


class Asking(Recorder):
    """Does something at step ``at``; records the numbers of the steps."""

    def __init__(self, at: int, call: Callable[[], None]) -> None:
        super().__init__()
        self.at, self.call, self.done = at, call, list[int]()

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None:
        self.done.append(step)
        if step == self.at:
            self.call()


Stop = tuple[int, int, bool, list[int]]
"""Epoch and steps of the state, whether it was saved, the steps that were done."""


def asked(ranks: Ranks, settings: dict[str, Any], folder: Path, root: Path, at: int, signals: list[int]) -> Stop:
    """Train, get ``signals`` at step ``at`` (the file that asks for the end of the epoch if there are none), and stop."""
    session = session_of(ranks, settings, folder)
    with session.checkpoint(root) as checkpoint:

        def call() -> None:
            for number in signals:
                os.kill(os.getpid(), number)
            if not signals and checkpoint.folder:
                ask(checkpoint.folder)

        observer = Asking(at, call)
        try:
            session.trainer.fit(observer, checkpoint)
        except Stopped as stop:
            return stop.state.epoch, stop.state.steps, stop.saved, observer.done
        return 0, 0, False, observer.done


def asked_alone(settings: dict[str, Any], folder: Path, root: Path, at: int, signals: list[int]) -> Stop:
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    result = asked(one_process(), settings, folder, root, at, signals)
    torch.set_num_threads(threads)
    return result


def hourly(**changes: Any) -> dict[str, Any]:
    """A training shorter than the minutes between its checkpoints."""
    return recipe(**{"machine.checkpoint_minutes": 60, **changes})


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "adam", "keep": "best", "lr_schedule": "plateau", "lr_patience": 1}],
    ids=["milestones", "plateau, best epoch"],
)
@pytest.mark.parametrize("signals", [[], [signal.SIGINT]], ids=["asked", "Ctrl-C"])
def test_a_training_that_ends_its_epoch_can_be_kept_and_carried_on(
    tiny: Path, tmp_path: Path, signals: list[int], changes: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = undisturbed(hourly(**changes), tiny)
    shorter = undisturbed(hourly(**changes, epochs=2), tiny)
    root = tmp_path / "parts"
    assert asked_alone(hourly(**changes), tiny, root, 5, signals) == (3, 0, True, [1, 2, 3, 4, 5, 6])
    assert re.search(r"stopping after epoch 2, in about .*; Ctrl-C again stops now\n", capfd.readouterr().err)
    assert alone(hourly(**changes, epochs=2), tiny, root) == (*shorter, [])
    mark_stored(root, MODEL)
    assert alone(hourly(**changes), tiny, root) == (*whole, [7, 8, 9])
    assert len(list(root.iterdir())) == 1  # one state is kept of a training, whatever its epochs


@pytest.mark.parametrize("signals", [[signal.SIGINT] * 2, [signal.SIGTERM], [signal.SIGHUP]], ids=["twice Ctrl-C", "TERM", "HUP"])
@pytest.mark.parametrize("at", [4, 3])
def test_a_training_that_is_stopped_at_once_goes_on_from_there(tiny: Path, tmp_path: Path, signals: list[int], at: int) -> None:
    whole = undisturbed(hourly(), tiny)
    root = tmp_path / "parts"
    epoch, steps, saved, done = asked_alone(hourly(), tiny, root, at, signals)
    # It is seen in the next step, or in the validation after the last one of an epoch.
    assert (epoch, steps, saved, len(done)) == ((2, 2, True, 5) if at == 4 else (1, 3, True, 3))
    assert alone(hourly(), tiny, root) == (*whole, [*range(len(done) + 1, STEPS + 1)])


class Impatient(Recorder):
    """Sends Ctrl-C at the first epoch that is reported."""

    def epoch(self, figures: Epoch) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_is_heard_while_a_resumed_training_tells_of_the_epochs_that_it_has(tiny: Path, tmp_path: Path) -> None:
    settings = hourly(**{"machine.checkpoint_minutes": 0, "epochs": 9})
    alone(settings, tiny, tmp_path, 5)
    session = session_of(one_process(), settings, tiny)
    with session.checkpoint(tmp_path) as checkpoint, pytest.raises(Stopped) as stop:
        session.trainer.fit(Impatient(), checkpoint)
    assert stop.value.saved and stop.value.state.epoch == 3


def test_two_ranks_stop_together_whichever_gets_the_signal(pair: Any, tiny: Path, tmp_path: Path) -> None:
    two = hourly(**{"pipeline.ranks": 2, "pipeline.cuts": ["conv3"]})
    whole = undisturbed(hourly(), tiny)
    for lead in (True, False):
        root = tmp_path / f"lead {lead}"
        assert pair(asked_of_one, two, tiny, root, lead) == 2 * [(2, 0, True, [1, 2, 3])]
        assert alone(hourly(), tiny, root) == (*whole, [*range(4, STEPS + 1)])


def asked_of_one(ranks: Ranks, settings: dict[str, Any], folder: Path, root: Path, lead: bool) -> Stop:
    return asked(ranks, settings, folder, root, 2 if ranks.lead == lead else 0, [signal.SIGINT])


def test_cosine_stops_at_once_as_no_shorter_training_has_its_rates(tiny: Path, tmp_path: Path) -> None:
    cosine = hourly(lr_schedule="cosine")
    whole = undisturbed(cosine, tiny)
    root = tmp_path / "parts"
    assert asked_alone(cosine, tiny, root, 4, []) == (2, 2, True, [1, 2, 3, 4, 5])
    assert alone(hourly(lr_schedule="cosine", epochs=2), tiny, root)[2] == [*range(1, 7)]
    assert alone(cosine, tiny, root) == (*whole, [6, 7, 8, 9])


def test_only_schedules_that_need_epochs_have_other_rates_with_others() -> None:
    errors = [0.5, 0.4, 0.4, 0.4, 0.4, 0.3]
    for name in legal("lr_schedule"):
        rates = [[SCHEDULES[name](of(name, epochs), errors[:past]) for past in range(6)] for epochs in (6, 12)]
        assert (rates[0] != rates[1]) == (name in NEED_EPOCHS)


def of(schedule: str, epochs: int) -> Training:
    return Training.read(recipe(lr_schedule=schedule, epochs=epochs, lr_patience=1, lr_step=2))


def test_more_epochs_go_on_from_a_finished_training(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = undisturbed(hourly(), tiny)
    root = tmp_path / "parts"
    alone(hourly(epochs=1), tiny, root)
    mark_stored(root, MODEL)
    assert alone(hourly(epochs=2), tiny, root)[2] == [4, 5, 6]
    capfd.readouterr()
    assert alone(hourly(), tiny, root) == (*whole, [7, 8, 9])  # also before DVC has stored the shorter one
    assert "going on from the same training with epochs: 2, after epoch 2" in capfd.readouterr().err
    assert alone(hourly(epochs=2), tiny, root)[2] == [*range(1, 7)]  # a shorter one is not on the way any more


def test_an_early_stop_is_the_end_for_more_epochs_too(tiny: Path, tmp_path: Path) -> None:
    early = {"early_stop": 1, "lr": 1e-9}
    ended = alone(hourly(**early), tiny, tmp_path)
    assert (len(ended[0]), ended[2]) == (2, [*range(1, 7)])
    assert alone(hourly(**early), tiny, tmp_path) == (*ended[:2], [])
    mark_stored(tmp_path, MODEL)
    assert alone(hourly(**early, epochs=9), tiny, tmp_path) == (*ended[:2], [])


def test_what_has_finished_is_trained_again_only_once_evaluate_has_begun(tiny: Path, tmp_path: Path) -> None:
    def train() -> Result:
        return alone(hourly(), tiny, tmp_path)

    whole = train()
    assert train() == (*whole[:2], [])  # killed before DVC stored it
    mark_stored(tmp_path, "the hash of another model")
    assert train() == (*whole[:2], [])
    mark_stored(tmp_path, MODEL)
    assert train() == whole
    assert train() == (*whole[:2], [])


def test_a_kill_between_the_last_step_and_the_model_costs_no_training(tiny: Path, tmp_path: Path) -> None:
    asked_alone(hourly(), tiny, tmp_path, 0, [])  # it trains to the end, without `finish`
    assert alone(hourly(), tiny, tmp_path)[2] == []


def test_a_full_disk_keeps_a_training_from_ending_early_and_not_from_stopping_at_once(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        assert asked_alone(hourly(), tiny, tmp_path, 2, [])[3] == [*range(1, STEPS + 1)]
        assert asked_alone(hourly(), tiny, tmp_path, 2, [signal.SIGTERM]) == (1, 3, False, [1, 2, 3])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert capfd.readouterr().err.count("no checkpoint could be written") == 2


def test_what_was_asked_of_an_earlier_process_is_forgotten(tiny: Path, tmp_path: Path) -> None:
    alone(recipe(), tiny, tmp_path, 3)
    (folder,) = tmp_path.iterdir()
    (folder / FINISH).touch()
    assert alone(recipe(), tiny, tmp_path)[2] == [*range(3, STEPS + 1)]


def test_the_last_states_of_the_newest_trainings_are_kept(tiny: Path, tmp_path: Path) -> None:
    for seed in range(OTHERS + 2):
        alone(hourly(seed=seed, epochs=1), tiny, tmp_path)
        mark_stored(tmp_path, MODEL)
    alone(recipe(seed=9), tiny, tmp_path, 3)  # a stopped one is counted apart
    alone(hourly(seed=OTHERS + 1, epochs=2), tiny, tmp_path)
    assert sum(map(finished, tmp_path.iterdir())) == OTHERS
    assert len(list(tmp_path.iterdir())) == OTHERS + 1
    assert alone(hourly(seed=OTHERS, epochs=2), tiny, tmp_path)[2] == [4, 5, 6]
    assert alone(hourly(seed=0, epochs=2), tiny, tmp_path)[2] == [*range(1, 7)]
