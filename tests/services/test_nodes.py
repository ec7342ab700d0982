"""A training over several machines gives the bytes of one, and ends and goes on as on one."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.clones import clone
from helpers.machines import Machine, Training, network
from helpers.nets import settings_of
from helpers.stage_process import wait_for

from alexnet.files.whole import sha256_of
from stages.paths import EIGENBASIS, MODEL

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]
SAVING = {"epochs": 6, "machine.checkpoint_minutes": 1e-9}
"""A state after each step."""


@pytest.fixture(scope="module")
def machines(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """Four with a copy of the repository each, and prepared data, but no common folder."""
    folders = [tmp_path_factory.mktemp(f"machine{number}") for number in range(1, 5)]
    clone(folders[0], settings_of("cifar10-32"))
    shutil.copytree(tiny, folders[0], dirs_exist_ok=True)
    (folders[0] / "reports").mkdir(exist_ok=True)
    for folder in folders[1:]:
        shutil.copytree(folders[0], folder, dirs_exist_ok=True)
    with network(folders) as machines:
        yield machines


def on_one(machine: Machine, **changes: Any) -> str:
    """The hash of the model that one machine gives."""
    alone = Training([machine], **changes)
    alone.prepare()
    alone.first()
    assert [status for status, _ in alone.ends()] == [0]
    return sha256_of(machine.folder / MODEL)


@pytest.mark.parametrize(
    ("nodes", "changes"),
    [
        (2, {}),
        (2, {"pipeline.replicas": 2}),
        (4, {"pipeline.ranks": 4, "pipeline.cuts": ["conv3", "fc6", "fc7"], "pipeline.microbatches": 4}),
    ],
    ids=["two ranks", "two replicas of two", "four ranks"],
)
def test_several_machines_give_the_bytes_of_one(machines: list[Machine], nodes: int, changes: dict[str, Any]) -> None:
    training = Training(machines[:nodes], **changes)
    training.prepare()
    training.start()
    ended = training.ends()
    assert [status for status, _ in ended] == [0] * nodes, ended
    assert f"{changes.get('pipeline.ranks', 2)} ranks on {nodes} nodes" in ended[0][1]
    assert [(machine.folder / MODEL).exists() for machine in training.machines] == [True, *[False] * (nodes - 1)]
    found = sha256_of(machines[0].folder / MODEL)
    assert found == on_one(machines[0], **changes | {"pipeline.ranks": changes.get("pipeline.ranks", 1)})


@pytest.mark.parametrize("killed", [0, 1], ids=["the first", "another"])
def test_a_machine_that_is_killed_ends_the_others_and_they_go_on_with_it(machines: list[Machine], killed: int) -> None:
    training = Training(machines[:2], **SAVING)
    training.prepare()
    processes = training.start()
    wait_for(processes[0], "epoch 2/")
    processes[killed].kill()
    ended = training.ends()
    status, said = ended[1 - killed]
    assert ended[killed][0] == -signal.SIGKILL and status == 1
    assert said.splitlines()[-1].startswith("error: ") and said.count("error:") == 1 and "Traceback" not in said
    assert machines[0].states() and not machines[1].states()  # no common folder: the first has all
    training.start()
    again = training.ends()
    assert [status for status, _ in again] == [0, 0] and "resuming this training where it was stopped" in again[0][1], again
    found = sha256_of(machines[0].folder / MODEL)
    assert found == on_one(machines[0], epochs=6)


@pytest.mark.parametrize("asked", [0, 1], ids=["on the first", "on another"])
def test_ctrl_c_on_one_machine_stops_all_and_the_state_is_saved(machines: list[Machine], asked: int) -> None:
    training = Training(machines[:2], epochs=500)
    training.prepare()
    processes = training.start()
    wait_for(processes[0], "epoch 1/")
    processes[asked].send_signal(signal.SIGINT)
    (status, said), (others, there) = training.ends()
    assert (status, others) == (130, 130)
    assert "keeps this model, and the same command goes on" in said.splitlines()[-1], said
    assert there.splitlines()[-1].endswith("; the first node says how to go on") and "Traceback" not in said + there
    assert len(machines[0].states()) == 1


def test_a_machine_with_other_code_or_data_is_refused_and_the_first_waits_for_a_better_one(machines: list[Machine]) -> None:
    training = Training(machines[:2])
    training.prepare()
    first = training.first()
    wait_for(first, "waiting for 1 more; run `python -m workflow.node 10.99.0.1:29400` there")
    other = machines[1].folder
    for path, reason in (
        (other / "alexnet/train/schedules.py", "the code here is not that of the first node; check out the same commit"),
        (other / EIGENBASIS, "the images or their statistics in data/ are not those of the first node; bring its data here"),
    ):
        whole = path.read_bytes()
        path.write_bytes(whole + b"\n")
        refused = training.other(1)
        said = refused.communicate(timeout=120)[1]
        path.write_bytes(whole)
        assert refused.returncode == 2 and said.splitlines()[-1].startswith(f"error: {reason}"), said
        training.processes.remove(refused)
    training.other(1)
    assert [status for status, _ in training.ends()] == [0, 0]


@pytest.mark.parametrize(
    ("there", "reason"),
    [(False, "init_from: "), (True, "this node differs from the first in what this training depends on")],
    ids=["missing", "another"],
)
def test_a_rank_that_fails_says_why_on_its_machine_and_the_others_repeat_it(
    machines: list[Machine], there: bool, reason: str
) -> None:
    one, two = machines[:2]
    on_one(one, epochs=1)
    if there:
        on_one(two, epochs=2)
        shutil.copy2(two.folder / MODEL, two.folder / "start.safetensors")
    shutil.copy2(one.folder / MODEL, one.folder / "start.safetensors")
    training = Training([one, two], init_from="start.safetensors")
    training.prepare()
    training.start()
    (status, said), (others, heard) = training.ends()
    assert others == 2 and heard.splitlines()[-1].startswith(f"error: {reason}"), heard
    assert status == 2 and "Traceback" not in said + heard
    last = said.splitlines()[-1]
    assert last.startswith("error: node 2 " if there else f"error: node 2 of 2 has ended: {reason}"), said
