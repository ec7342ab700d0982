"""A training that was stopped goes on to the bit as if it had not been."""

import re
import resource
import subprocess
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from helpers.stopped import MODEL, STEPS, alone, recipe, train, undisturbed
from helpers.training import one_process, session_of
from safetensors.torch import load_file

from alexnet.files.finished import mark_stored
from alexnet.train import fingerprint, session
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.fingerprint import code_fingerprint
from alexnet.train.folders import OTHERS
from alexnet.train.state import State
from alexnet.train.trainer import Trainer


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
        mark_stored(tmp_path / "parts", MODEL)


def test_a_training_may_be_stopped_again_and_again(tiny: Path, tmp_path: Path) -> None:
    done = [alone(recipe(), tiny, tmp_path / "parts", stop)[2] for stop in (3, 4, 8)]
    assert done == [[1, 2, 3], [3, 4], [4, 5, 6, 7, 8]]
    assert alone(recipe(), tiny, tmp_path / "parts")[:2] == undisturbed(recipe(), tiny)


def test_a_state_that_is_due_is_saved_once_where_steps_are_launched_ahead(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[int, int]] = []
    save, asked = Checkpoint.save, iter(range(100))

    def noted(self: Checkpoint, state: State, *others: Any) -> bool:
        saved.append((state.epoch, state.steps))
        return save(self, state, *others)

    monkeypatch.setattr(Checkpoint, "save", noted)
    monkeypatch.setattr(Checkpoint, "due", lambda self: next(asked) == 1)
    monkeypatch.setattr(Trainer, "ahead", 1)
    settings = recipe(batch_size=4, epochs=1)
    found = alone(settings, tiny, tmp_path)[:2]
    assert saved == [(1, 3), (2, 0)]
    assert found == undisturbed(settings, tiny)


def test_a_training_that_ended_early_is_known_to_be_finished(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = recipe(early_stop=1, lr=1e-9)
    whole = alone(settings, tiny, tmp_path)
    assert len(whole[0]) == 2
    capfd.readouterr()
    assert alone(settings, tiny, tmp_path)[:2] == whole[:2]
    assert "this training was finished already, and its last state is used" in capfd.readouterr().err


def test_a_folder_that_is_locked_for_a_moment_is_used_all_the_same(tiny: Path, tmp_path: Path) -> None:
    alone(recipe(), tiny, tmp_path, 5)
    lock = FileLock(next(tmp_path.glob("*/lock")), thread_local=False)
    lock.acquire()
    threading.Timer(0.5, lock.release).start()
    assert alone(recipe(), tiny, tmp_path)[2] == [5, 6, 7, 8, 9]


def test_other_ranks_and_cuts_go_on(pair: Any, tiny: Path, tmp_path: Path) -> None:
    epochs, weights = undisturbed(recipe(), tiny)
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
    assert {path.name for path in root.glob("*/*/*")} == {"rank-0.safetensors", "rank-1.safetensors", "state.json"}
    assert alone(recipe(), tiny, root) == (epochs, weights, [8, 9])
    mark_stored(root, MODEL)
    alone(recipe(), tiny, root, 5)
    first, second = pair(train, two, tiny, root)
    assert first[0] == second[0] == epochs
    assert first[1] | second[1] == weights


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
@pytest.mark.parametrize("name", ["rank-0.safetensors", "state.json"])
def test_the_checkpoint_before_a_damaged_one_is_used(
    tiny: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = undisturbed(recipe(), tiny)
    root = tmp_path / "parts"
    alone(recipe(), tiny, root, 6)
    before, newest = sorted(root.glob("*/*/"))
    assert (before.name, newest.name) == ("00002-000001", "00002-000002")
    damage(newest / name)
    capfd.readouterr()
    assert alone(recipe(), tiny, root) == (*whole, [5, 6, 7, 8, 9])
    if (newest / name).exists() or name != "state.json":  # a folder without its description is one that was not completed
        assert f"{newest} is damaged" in (said := capfd.readouterr().err)
        assert "so the one before it is used" in said


def test_two_damaged_checkpoints_are_reported_and_the_training_starts_again(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone(recipe(), tiny, tmp_path, 6)
    for file in tmp_path.glob("*/*/rank-0.safetensors"):
        flip(file)
    assert alone(recipe(), tiny, tmp_path)[2] == [*range(1, STEPS + 1)]
    said = capfd.readouterr().err
    assert said.count("is damaged (rank-0.safetensors is not as it was written)") == 2
    assert "so the training starts again" in said


def test_a_stop_while_saving_leaves_the_one_before(tiny: Path, tmp_path: Path) -> None:
    alone(recipe(), tiny, tmp_path, 5)
    file = min(tmp_path.glob("*/*/rank-0.safetensors"))
    half = file.parents[1] / "00002-000002" / file.name  # of the next step, without its description
    half.parent.mkdir()
    half.write_bytes(file.read_bytes()[:1000])
    assert alone(recipe(), tiny, tmp_path, 6)[2] == [5, 6]
    assert {path.name for path in tmp_path.glob("*/*/")} == {"00002-000001", "00002-000002"}


def test_what_is_saved_is_named_as_in_the_whole_net(tiny: Path, tmp_path: Path) -> None:
    alone(recipe(keep="best"), tiny, tmp_path, 5)
    file = max(tmp_path.glob("*/*/rank-0.safetensors"))
    names = {f"{layer}.{kind}" for layer in ("conv1", "conv5", "fc8") for kind in ("weight", "bias")}
    assert {f"{kind}/{name}" for kind in ("weights", "momentum_buffer", "best") for name in names} <= load_file(file).keys()
    assert file.parent.name == "00002-000001"


def test_another_version_of_a_library_that_computes_makes_another_training(monkeypatch: pytest.MonkeyPatch) -> None:
    known = code_fingerprint()
    for name in fingerprint.LIBRARIES:
        with monkeypatch.context() as patch:
            patch.setattr(fingerprint, "version", lambda asked, name=name: "0.1" if asked == name else metadata.version(asked))
            assert code_fingerprint() != known
    assert code_fingerprint() == known


def test_another_build_of_torch_makes_another_training(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = session_of(one_process(), recipe(), tiny).fingerprint()
    monkeypatch.setattr("torch.__version__", "2.14.1+rocm")
    assert session_of(one_process(), recipe(), tiny).fingerprint() != known


def test_only_what_changes_numbers_makes_another_training(tiny: Path) -> None:
    def identity(**changes: Any) -> str:
        return session_of(one_process(), recipe(**changes), tiny).fingerprint()

    same: list[dict[str, Any]] = [{"pipeline.cuts": ["fc6"]}, {"pipeline.schedule": "GPipe"}, {"machine.workers": 3}]
    others: list[dict[str, Any]] = [{"lr": 0.002}, {"epochs": 4}, {"seed": 1}, {"pipeline.microbatches": 8}, {"mean": "channel"}]
    others.append({"pipeline.replicas": 2})
    assert {identity(**changes) for changes in same} == {identity()}
    assert identity(epochs=4).rpartition("-")[0] == identity().rpartition("-")[0]  # the same, but longer
    cosine = {"lr_schedule": "cosine"}
    assert identity(**cosine, epochs=4).rpartition("-")[0] != identity(**cosine).rpartition("-")[0]
    assert len({identity(**changes) for changes in [{}, *others]}) == len(others) + 1


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
        earlier.setattr(session, "code_fingerprint", lambda cards: "earlier")
        alone(recipe(), tiny, root, 5)
        alone(recipe(seed=1), tiny, root, 5)
    assert "note" not in capfd.readouterr().err
    assert alone(recipe(), tiny, root, 3)[2] == [1, 2, 3]  # from the beginning
    said = capfd.readouterr().err
    (command,) = re.findall(r"note: .* has a checkpoint of this training by other code.* run `(.*)` and start again", said)
    subprocess.run(["sh", "-c", command], check=True)
    assert alone(recipe(), tiny, root) == (*undisturbed(recipe(), tiny), [5, 6, 7, 8, 9])
    assert "note" not in capfd.readouterr().err
