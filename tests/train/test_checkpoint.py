"""A training that was stopped goes on to the bit as if it had not been."""

import re
import resource
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.nets import settings_of
from helpers.training import Recorder, hashes, one_process, session_of
from safetensors.torch import load_file

from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.train import session
from alexnet.train.checkpoint import OTHERS, Checkpoint
from alexnet.train.state import Epoch

STEPS = 9
"""Three epochs of three steps, the last batch of each not full."""


class Stop(Exception):
    """What ends a training in its middle."""


class Stopping(Recorder):
    """Stops a training at step ``stop``; records the numbers of the steps."""

    def __init__(self, stop: int) -> None:
        super().__init__()
        self.stop, self.done = stop, list[int]()

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None:
        super().step(epoch, step, count, stats, timing)
        self.done.append(step)
        if step == self.stop:
            raise Stop


def recipe(**changes: Any) -> dict[str, Any]:
    """With crops, flips, colour noise and dropout, a rate that drops after the first epoch, and a saving at every step."""
    steps = {"batch_size": 8, "epochs": 3, "flip": True, "color_noise": 0.1, "precision": "float32", "lr": 0.001}
    drops = {"lr_schedule": "milestones", "lr_milestones": [1], "pipeline.ranks": 1, "machine.checkpoint_minutes": 0}
    return settings_of("cifar10-32", **{**steps, **drops, **changes})


Result = tuple[list[Epoch], dict[str, str], list[int]]
"""The epochs of a training that ended, hashes of its weights, the numbers of the steps that were done."""


def train(ranks: Ranks, settings: dict[str, Any], folder: Path, root: Path, stop: int = STEPS + 1) -> Result:
    """Train until step ``stop`` is reported; the one before it is saved by then."""
    training, observer, history = session_of(ranks, settings, folder), Stopping(stop), list[Epoch]()
    with training.checkpoint(root) as checkpoint, suppress(Stop):
        history += training.trainer.fit(observer, checkpoint)
        checkpoint.clear()
        assert observer.epochs == history  # those before the stop are reported again
    return history, hashes(training.engine.parameters()), observer.done


def alone(settings: dict[str, Any], folder: Path, root: Path, stop: int = STEPS + 1) -> Result:
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    result = train(one_process(), settings, folder, root, stop)
    torch.set_num_threads(threads)
    return result


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "torch_sgd", "precision": "bfloat16"},
        {"optimizer": "adam", "keep": "best", "lr_schedule": "plateau", "lr_patience": 1},
        {"momentum": 0.0, "keep": "best", "lr": 1e-9},  # the first epoch stays the best
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_a_training_goes_on_from_any_step(tiny: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = recipe(**changes)
    epochs, weights, done = alone(settings, tiny, tmp_path / "whole")
    assert (len(epochs), done) == (3, [*range(1, STEPS + 1)])
    for stop in (3, 4, 8):  # in the middle of an epoch, behind one, in the next one
        assert alone(settings, tiny, tmp_path / "parts", stop)[2] == [*range(1, stop + 1)]
        assert alone(settings, tiny, tmp_path / "parts") == (epochs, weights, [*range(stop, STEPS + 1)])


def test_a_training_may_be_stopped_again_and_again(tiny: Path, tmp_path: Path) -> None:
    done = [alone(recipe(), tiny, tmp_path / "parts", stop)[2] for stop in (3, 4, 8)]
    assert done == [[1, 2, 3], [3, 4], [4, 5, 6, 7, 8]]
    assert alone(recipe(), tiny, tmp_path / "parts")[:2] == alone(recipe(), tiny, tmp_path / "whole")[:2]
    assert not list((tmp_path / "parts").iterdir())  # what is over is forgotten


def test_other_ranks_and_cuts_go_on(pair: Any, tiny: Path, tmp_path: Path) -> None:
    epochs, weights, _ = alone(recipe(), tiny, tmp_path / "whole")
    cuts: list[dict[str, Any]] = [
        {"pipeline.cuts": ["conv3"]},
        {"pipeline.cuts": ["conv3", "fc6", "fc7"], "pipeline.schedule": "Interleaved1F1B"},
    ]
    two, other = (recipe(**{"pipeline.ranks": 2, **changes}) for changes in cuts)
    root = tmp_path / "parts"
    alone(recipe(), tiny, root, 3)
    first, second = pair(train, two, tiny, root, 6)
    assert first[2] == second[2] == [3, 4, 5, 6]
    first, second = pair(train, other, tiny, root, 8)
    assert first[2] == second[2] == [6, 7, 8]
    assert {path.name for path in root.glob("*/*/*")} == {"rank-0.safetensors", "rank-1.safetensors"}
    assert alone(recipe(), tiny, root) == (epochs, weights, [8, 9])
    alone(recipe(), tiny, root, 5)
    first, second = pair(train, two, tiny, root)
    assert first[0] == second[0] == epochs
    assert first[1] | second[1] == weights


def test_a_damaged_checkpoint_is_reported_and_the_training_starts_again(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone(recipe(), tiny, tmp_path, 5)
    (file,) = tmp_path.glob("*/*/rank-0.safetensors")
    file.write_bytes(file.read_bytes()[:-1000])
    assert alone(recipe(), tiny, tmp_path)[2] == [*range(1, STEPS + 1)]
    assert "is damaged, so the training starts again" in capfd.readouterr().err


def test_a_stop_while_saving_leaves_the_one_before(tiny: Path, tmp_path: Path) -> None:
    alone(recipe(), tiny, tmp_path, 5)
    (file,) = tmp_path.glob("*/*/rank-0.safetensors")
    half = file.parents[1] / "00002-000002" / file.name  # of the next step, and state.json does not name it yet
    half.parent.mkdir()
    half.write_bytes(file.read_bytes()[:1000])
    assert alone(recipe(), tiny, tmp_path, 6)[2] == [5, 6]
    assert [path.name for path in tmp_path.glob("*/*/")] == ["00002-000002"]


def test_what_is_saved_is_named_as_in_the_whole_net(tiny: Path, tmp_path: Path) -> None:
    alone(recipe(keep="best"), tiny, tmp_path, 5)
    (file,) = tmp_path.glob("*/*/rank-0.safetensors")
    names = {f"{layer}.{kind}" for layer in ("conv1", "conv5", "fc8") for kind in ("weight", "bias")}
    assert {f"{kind}/{name}" for kind in ("weights", "momentum_buffer", "best") for name in names} <= load_file(file).keys()
    assert file.parent.name == "00002-000001"


def test_only_what_changes_numbers_makes_another_training(tiny: Path) -> None:
    def fingerprint(**changes: Any) -> str:
        return session_of(one_process(), recipe(**changes), tiny).fingerprint()

    same: list[dict[str, Any]] = [{"pipeline.cuts": ["fc6"]}, {"pipeline.schedule": "GPipe"}, {"machine.workers": 3}]
    others: list[dict[str, Any]] = [{"lr": 0.002}, {"epochs": 4}, {"seed": 1}, {"pipeline.microbatches": 8}, {"mean": "channel"}]
    assert {fingerprint(**changes) for changes in same} == {fingerprint()}
    assert len({fingerprint(**changes) for changes in [{}, *others]}) == len(others) + 1


def test_a_second_training_of_a_recipe_saves_nothing(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = session_of(one_process(), recipe(), tiny).checkpoint(tmp_path)
    assert first.due()
    second = session_of(one_process(), recipe(), tiny).checkpoint(tmp_path)
    assert not second.due()
    assert "this training saves no checkpoints: the same training is running already" in capfd.readouterr().err
    with first:
        pass
    assert session_of(one_process(), recipe(), tiny).checkpoint(tmp_path).due()


def test_a_full_disk_is_reported_once_and_stops_no_training(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        assert alone(recipe(), tiny, tmp_path)[2] == [*range(1, STEPS + 1)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capfd.readouterr().err
    assert said.count("no checkpoint could be written") == 1
    assert "(File too large); the training goes on" in said


def test_a_folder_that_cannot_be_made_is_reported_and_stops_no_training(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert alone(recipe(), tiny, tmp_path / "file")[2] == [*range(1, STEPS + 1)]
    assert "this training saves no checkpoints" in capfd.readouterr().err


def test_the_newest_of_other_stopped_trainings_are_kept(tiny: Path, tmp_path: Path) -> None:
    runs = [recipe(seed=seed) for seed in range(OTHERS + 2)]
    for settings in runs:
        alone(settings, tiny, tmp_path, 3)
    assert len(list(tmp_path.iterdir())) == OTHERS + 1
    assert [alone(settings, tiny, tmp_path, 4)[2] for settings in runs[1:]] == [[3, 4]] * (OTHERS + 1)


def test_a_stop_before_anything_is_saved_leaves_no_folder(tiny: Path, tmp_path: Path) -> None:
    assert alone(recipe(), tiny, tmp_path, 1)[2] == [1]
    assert not list(tmp_path.iterdir())


def test_nothing_is_saved_where_minutes_are_null(tiny: Path, tmp_path: Path) -> None:
    alone(recipe(**{"machine.checkpoint_minutes": None}), tiny, tmp_path, 5)
    assert not list(tmp_path.iterdir())
    hourly = session_of(one_process(), recipe(**{"machine.checkpoint_minutes": 60}), tiny)
    assert not hourly.checkpoint(tmp_path).due()
    assert isinstance(Checkpoint(None, 0, one_process()).token, str)


def test_a_checkpoint_by_other_code_is_reported_with_the_command_to_resume_from_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "my checkpoints"
    with monkeypatch.context() as earlier:
        earlier.setattr(session, "code_fingerprint", lambda: "earlier")
        alone(recipe(), tiny, root, 5)
        alone(recipe(seed=1), tiny, root, 5)
    assert "note" not in capfd.readouterr().err
    assert alone(recipe(), tiny, root, 3)[2] == [1, 2, 3]  # from the beginning
    said = capfd.readouterr().err
    (command,) = re.findall(r"note: .* has a checkpoint of this training by other code.* run `(.*)` and start again", said)
    subprocess.run(["sh", "-c", command], check=True)
    assert alone(recipe(), tiny, root) == (*alone(recipe(), tiny, tmp_path / "whole")[:2], [5, 6, 7, 8, 9])
    assert "note" not in capfd.readouterr().err
