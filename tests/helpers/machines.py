"""Machines with a network between them, as network namespaces of this one, and a training over them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from helpers.clones import activated
from helpers.nets import settings_of
from helpers.stage_process import rest
from ruamel.yaml import YAML

PORT = 29400
SLOW_END = 200
"""Seconds that all may take to end on a loaded machine; machine.patience is three times as long."""
SHORT = {"batch_size": 8, "epochs": 2, "lr": 0.001, "lr_schedule": "constant", "precision": "float32"}
"""A training of seconds."""


def ip(*words: str) -> int:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode


class Machine:
    """A machine with a copy of the repository."""

    def __init__(self, namespace: str, address: str, folder: Path) -> None:
        self.namespace, self.address, self.folder = namespace, address, folder

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Python with ``arguments`` in its copy of the repository."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, sys.executable, *arguments],
            cwd=self.folder,
            env=activated() | {"ALEXNET_TRACKING": "off"} | variables,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def prepare(self, **changes: Any) -> None:
        """Write params.yaml, and forget earlier trainings."""
        YAML().dump(settings_of("cifar10-32", **{**SHORT, **changes}), self.folder / "params.yaml")
        for left in (".checkpoints", "models"):
            shutil.rmtree(self.folder / left, ignore_errors=True)

    def states(self) -> list[Path]:
        """The complete states of trainings that are kept here."""
        return sorted(self.folder.glob(".checkpoints/*/*/state.json"))


@contextmanager
def network(folders: list[Path]) -> Iterator[list[Machine]]:
    """A machine for each of ``folders``, on one network."""
    switch = f"alexnet-{os.getpid()}"
    if os.geteuid() or ip("netns", "add", switch):
        pytest.skip("needs root and `ip netns`")
    machines = [Machine(f"{switch}-{n}", f"10.99.0.{n}", folder) for n, folder in enumerate(folders, 1)]
    try:
        assert not ip("-n", switch, "link", "add", "switch", "type", "bridge") | ip("-n", switch, "link", "set", "switch", "up")
        for number, machine in enumerate(machines):
            inside, port = ("-n", machine.namespace), f"port{number}"
            failed = ip("netns", "add", machine.namespace)
            failed |= ip(*inside, "link", "set", "lo", "up")
            failed |= ip(*inside, "link", "add", "wire", "type", "veth", "peer", "name", port, "netns", switch)
            failed |= ip("-n", switch, "link", "set", port, "master", "switch", "up")
            failed |= ip(*inside, "address", "add", f"{machine.address}/24", "dev", "wire")
            failed |= ip(*inside, "link", "set", "wire", "up")
            assert not failed
        yield machines
    finally:
        for namespace in (switch, *(machine.namespace for machine in machines)):
            ip("netns", "del", namespace)


class Training:
    """A training over machines: a process on each, and what becomes of them."""

    def __init__(self, machines: list[Machine], **changes: Any) -> None:
        self.machines, self.address = machines, f"{machines[0].address}:{PORT}"
        where = {"machine.nodes": len(machines), "machine.address": self.address}
        self.settings, self.processes = changes | where, list["subprocess.Popen[str]"]()

    def prepare(self) -> None:
        for machine in self.machines:
            machine.prepare(**self.settings)

    def first(self, *arguments: str) -> "subprocess.Popen[str]":
        pipeline = settings_of("cifar10-32", **self.settings)["pipeline"]
        count = f"{pipeline['ranks']}x{pipeline['replicas']}"
        return self._started(self.machines[0], "-m", "workflow.torchrun", "--nproc-per-node", count, "-m", "stages.train")

    def other(self, number: int, *arguments: str) -> "subprocess.Popen[str]":
        return self._started(self.machines[number], "-m", "workflow.node", self.address, *arguments)

    def start(self) -> list["subprocess.Popen[str]"]:
        return [self.first(), *(self.other(number) for number in range(1, len(self.machines)))]

    def _started(self, machine: Machine, *arguments: str) -> "subprocess.Popen[str]":
        process = machine.start(*arguments)
        self.processes.append(process)
        return process

    def ends(self, within: float = SLOW_END) -> list[tuple[int, str]]:
        """Exit status and what was said of each process, in the order of their starts; none leaves a child."""
        try:
            children = [child for process in self.processes for child in descendants(process.pid)]
            said = [rest(process, within) for process in self.processes]
            _, alive = psutil.wait_procs(children, timeout=15)
            assert not alive
            return [(process.returncode, words) for process, words in zip(self.processes, said, strict=True)]
        finally:
            for process in self.processes:
                process.kill()
            self.processes = []


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []
