"""Machines that meet for a training: who may join, and what the others get."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.mlflow_server import free_port
from helpers.staged import ROOT, params_text

from alexnet import launcher
from alexnet.config.check import check
from alexnet.config.machine import Machine
from alexnet.errors import UserError
from alexnet.train import fingerprint
from stages.paths import MEAN, PARAMS
from workflow import node, nodes, plan


@pytest.fixture
def machine(shipped: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The settings of a first machine of two; the working directory has params.yaml."""
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text(params_text())
    return Machine.read(shipped()["machine"] | {"nodes": 2, "address": f"127.0.0.1:{free_port()}"})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"nodes": 2}, "machine.nodes: 2 needs machine.address, where the others reach the first, such as 10.0.0.1:29400"),
        ({"nodes": 3, "address": "a:1"}, "machine.nodes: 3 does not divide pipeline.ranks: 2 times pipeline.replicas: 1"),
        ({"address": "10.0.0.1"}, "machine.address: 10.0.0.1 is not valid: it should be a host and a port"),
        ({"address": "tcp://a:1"}, "machine.address: tcp://a:1 is not valid"),
        ({"address": "a:70000"}, "machine.address: a:70000 is not valid"),
    ],
)
def test_machines_that_do_not_fit_are_refused(shipped: Callable[[], dict[str, Any]], changes: dict[str, Any], line: str) -> None:
    settings = shipped()
    settings["machine"] |= changes
    with pytest.raises(UserError) as refusal:
        check(settings)
    assert str(refusal.value).startswith(f"params.yaml: {line}")


def test_another_machine_gets_the_settings_of_the_first_and_each_seat_is_taken_once(machine: Machine) -> None:
    first = nodes.first(machine, 1)
    assert machine.address
    other = nodes.another(machine.address, 1)
    assert (other.number, other.plan) == (1, first.plan) and other.plan.settings == params_text()
    first.wait_for_all()
    with pytest.raises(UserError, match="all 2 nodes are there already"):
        nodes.another(machine.address, 1)
    other.give_up()
    assert nodes.another(machine.address, 1).number == 1


@pytest.mark.parametrize(
    ("break_it", "line"),
    [
        (lambda patch: patch.setattr(plan, "code", lambda: "another"), "the code here is not that of the first node"),
        (lambda patch: patch.setattr(fingerprint, "LIBRARIES", ("torch",)), ""),
        (lambda patch: patch.setattr(plan, "libraries", lambda: {"torch": "1"}), "torch is 1 here and "),
        (lambda patch: MEAN.write_bytes(b"another"), "the images or their statistics in data/ are not those of the first"),
    ],
    ids=["code", "nothing", "library", "data"],
)
def test_a_machine_that_would_compute_something_else_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None], line: str
) -> None:
    MEAN.parent.mkdir()
    MEAN.write_bytes(b"mean")
    monkeypatch.setattr(fingerprint, "LIBRARIES", ("torch",))
    _first = nodes.first(machine, 1)
    break_it(monkeypatch)
    assert machine.address
    if not line:
        nodes.another(machine.address, 1)
        return
    with pytest.raises(UserError, match=line):
        nodes.another(machine.address, 1)


def test_addresses_that_lead_nowhere_are_named(machine: Machine) -> None:
    with pytest.raises(
        UserError, match=r"198\.51\.100\.1 (is not an address of this machine, the first node|cannot be reached from here)"
    ):
        nodes.first(machine.model_copy(update={"address": "198.51.100.1:29400"}), 1)
    with pytest.raises(UserError, match=r"name\.invalid cannot be reached from here"):
        nodes.another("name.invalid:29400", 0)
    assert machine.address
    with pytest.raises(UserError, match=f"no training waits at {machine.address}"):
        nodes.another(machine.address, 0)
    with (
        socket.create_server(("", int(machine.address.split(":")[1]))),
        pytest.raises(UserError, match="is taken on this machine"),
    ):
        nodes.first(machine, 1)


def test_the_ranks_of_a_machine_are_told_how_another_ended_unless_one_has_its_own_word(machine: Machine, tmp_path: Path) -> None:
    first = nodes.first(machine, 1)
    assert machine.address
    other = nodes.another(machine.address, 1)
    with first.listening(tmp_path):
        other.leave("Traceback\nValueError: rank 1 is broken", 1)
        first.store.get("left")
        while not (heard := launcher.first_report(tmp_path)):
            pass
    assert heard == launcher.Report("error: node 2 of 2 has ended: ValueError: rank 1 is broken", 1)
    (tmp_path / "0.json").write_text('{"text": "stopped", "status": 130}')
    assert launcher.first_report(tmp_path) == launcher.Report("stopped", 130)


WITHOUT = """
import sys
sys.modules |= dict.fromkeys(["dvc", "mlflow"])
import stages.train, workflow.node
from alexnet.train import session
workflow.node.main()
"""


def test_another_machine_needs_neither_dvc_nor_mlflow(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, f"127.0.0.1:{free_port()}", "--wait", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr.startswith("error: no training waits at 127.0.0.1:")


def test_an_address_without_a_port_is_refused_with_what_it_should_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["node", "10.0.0.1"])
    with pytest.raises(SystemExit):
        node.main()
    assert "should be a host and a port, such as 10.0.0.1:29400" in capsys.readouterr().err
