"""The machines of a training over several: how they meet, compare what they have, and hear how another one ended.

The first holds a ``TCPStore``, torch's table of keys and values behind a port, which torchrun and the ranks use too:

    plan             what the first trains and with what, a ``Plan`` in JSON
    node 1, …        those that have come; nothing starts before all have
    ended            how one ended first, if not well
    left             how many have ended
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from alexnet import launcher
from alexnet.config.machine import Machine, host_and_port
from alexnet.errors import UserError
from workflow.plan import Plan

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

ANSWER = timedelta(seconds=60)
"""How long the first node may take to answer."""
LINGER = 5.0
"""Seconds for which the first node keeps the store after a failure, so that the others can read of it."""
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Environment variables that choose the network; the user's own count."""


def first(machine: Machine, processes: int) -> "Node":
    """Be the first node: open the store at ``machine.address``. ``processes``: on each node. Raises ``UserError``."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    assert machine.address
    plan = Plan.here(machine, processes)
    (host, port), (here, there) = host_and_port(machine.address), route(machine.address)
    if here != there:
        raise UserError(f"machine.address: {host} is not an address of this machine, the first node; {here} is one")
    if there.startswith("127.") and not host.startswith("127."):
        raise UserError(f"machine.address: {host} is {there} here, where no other machine comes; write an address of the network")
    try:
        # torchrun shares the server, as it is of the same process.
        store = TCPStore(host, port, is_master=True, wait_for_workers=False, multi_tenant=True, timeout=ANSWER)
    except RuntimeError:
        raise UserError(f"machine.address: port {port} is taken on this machine; choose another") from None
    store.set("plan", json.dumps(asdict(plan)))
    return Node(store, machine.address, 0, plan)


def another(address: str, minutes: float) -> "Node":
    """Be one of the others: wait for the first, and have what it has. Raises ``UserError``."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    _wait_for_first(address, minutes)
    try:
        store = TCPStore(*host_and_port(address), is_master=False, wait_for_workers=False, timeout=ANSWER)
        found = json.loads(store.get("plan"))
    except (RuntimeError, ValueError):
        raise UserError(f"what answers at {address} is no training; look at machine.address on the first node") from None
    plan = Plan.agreed(found)
    for number in range(1, plan.nodes):
        if store.compare_set(_seat(number), "", mine := f"{os.getpid()} {time.time_ns()}") == mine.encode():
            return Node(store, address, number, plan)
    raise UserError(f"all {plan.nodes} nodes are there already; end this training on the first node, and start all again")


def route(address: str) -> tuple[str, str]:
    """The address by which this machine reaches another, and the other's. Raises ``UserError``."""
    host, port = host_and_port(address)
    try:
        *_, there = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(there)  # sends nothing
            return str(probe.getsockname()[0]), str(there[0])
    except OSError as error:
        raise UserError(f"{host} cannot be reached from here ({error.strerror}); look at the address and the network") from None


def _wait_for_first(address: str, minutes: float) -> None:
    said, deadline = False, time.monotonic() + 60 * minutes
    while True:
        try:
            route(address)
            socket.create_connection(host_and_port(address), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise UserError(f"no training waits at {address}; start it on the first node, then run this again") from None
        if not said:
            print(f"waiting for the first node at {address}, {minutes:g} minutes at most", file=sys.stderr)
            said = True
        time.sleep(1)


def _seat(number: int) -> str:
    return f"node {number}"


class Node:
    """This machine's place among the nodes of a training."""

    def __init__(self, store: "TCPStore", address: str, number: int, plan: Plan) -> None:
        """``address`` of the first, ``number`` of this one, from 0."""
        self.store, self.address, self.number, self.plan = store, address, number, plan
        self.name = f"node {number + 1} of {plan.nodes}"
        self._over = Event()

    @property
    def torchrun(self) -> list[str]:
        """torchrun's options."""
        here, plan = route(self.address)[0], self.plan
        meeting = ["--nnodes", plan.nodes, "--rdzv-backend", "static", "--rdzv-endpoint", self.address]
        return [str(word) for word in (*meeting, "--node-rank", self.number, "--local-addr", here)]

    def choose_network(self) -> None:
        """Have gloo and NCCL use the interface by which the first node is reached, unless the user chose one."""
        here = route(self.address)[0]
        for interface, addresses in psutil.net_if_addrs().items():
            if here in (address.address for address in addresses):
                for name in INTERFACES:
                    os.environ.setdefault(name, interface)

    def wait_for_all(self) -> None:
        """Raises ``UserError`` if some do not come within ``machine.patience``, or the first has ended."""
        said, deadline = False, time.monotonic() + 60 * self.plan.patience
        while missing := self._missing():
            if time.monotonic() > deadline:
                raise UserError(f"{missing} of {self.plan.nodes} nodes have not come within machine.patience; start all again")
            if not said:
                command = f"; run `python -m workflow.node {self.address}` there" if self.number == 0 else ""
                print(f"{self.name}: waiting for {missing} more{command}", file=sys.stderr)
                said = True
            time.sleep(0.2)

    def _missing(self) -> int:
        try:
            return sum(not self.store.check([_seat(number)]) for number in range(1, self.plan.nodes))
        except RuntimeError:
            raise UserError(f"the first node, {self.address}, has ended; start it again, then this") from None

    def give_up(self) -> None:
        """Make place for another, before the training has begun."""
        with suppress(RuntimeError):
            self.store.delete_key(_seat(self.number))

    @contextmanager
    def listening(self, folder: Path) -> Iterator[None]:
        """While this lasts, tell the ranks of this node how another ended, by a report in their ``folder``."""
        thread = Thread(target=self._listen, args=(folder,), name="other nodes", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(1)

    def _listen(self, folder: Path) -> None:
        word = json.dumps(asdict(launcher.Report(f"error: the first node, {self.address}, has ended or cannot be reached", 1)))
        with suppress(RuntimeError):
            while not self.store.check(["ended"]):
                if self._over.wait(0.5):
                    return
            word = self.store.get("ended").decode()
        Path(folder, launcher.ELSEWHERE).write_text(word)
        # Ranks that have lost a connection end now. The lead may still end its run in MLflow, others may wait for their GPU.
        if not self._over.wait(launcher.HOLD):
            for rank in psutil.Process().children():
                rank.terminate()

    def leave(self, said: str, status: int) -> None:
        """Tell the others how this node ended. The first then keeps the store a few seconds, if they need to know."""
        lines = said.removeprefix("error: ").splitlines() or [f"with status {status}"]
        word = launcher.Report(f"error: {self.name} has ended: {lines[-1]}", status)
        with suppress(RuntimeError):
            if status:
                self.store.compare_set("ended", "", json.dumps(asdict(word)))
            left, deadline = self.store.add("left", 1), time.monotonic() + LINGER
            while status and self.number == 0 and left < self.plan.nodes and time.monotonic() < deadline:
                time.sleep(0.2)
                left = self.store.add("left", 0)
