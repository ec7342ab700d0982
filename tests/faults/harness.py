"""Runs the workflow in small and interrupts it: which fault is drawn, which process it hits, and what is there afterwards."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]
from helpers.clones import SMALL, activated, clone, execute
from helpers.nets import settings_of
from ruamel.yaml import YAML

from alexnet.files.whole import sha256_of

REPRO = ("dvc", "repro")
STAGES = ("download", "pca", "preprocess", "train", "evaluate", "report")
TRAINING = STAGES[3:]
"""What runs again in each round; the data is prepared once."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP)
TARGETS = {
    "download": ("dvc", "stage", "group", "all"),
    "pca": ("dvc", "stage", "worker", "group", "all"),
    "preprocess": ("dvc", "stage", "worker", "group", "all"),
    "train": ("dvc", "torchrun", "rank 0", "rank 1", "group", "all"),
    "evaluate": ("dvc", "stage", "group", "all"),
    "report": ("dvc", "stage", "group", "all"),
}
"""Whom a fault may hit in each stage. ``group``: DVC's process group, as Ctrl-C in a terminal; ``all``: every process."""
LONGEST = 300.0
"""Seconds that a command may take."""
ENDED_WITHIN = 30.0
"""Seconds after the end of a command within which all that it started must be gone."""
MARK = "ALEXNET_FAULTS"
"""The environment variable by which the processes of a command are found, also those that lost their parent."""

ALLOWED_TRACEBACKS = (
    r"site-packages/dvc/",  # DVC interrupted outside a stage, such as while it starts
    r"bin/dvc\"",
    r"_distutils_hack|site\.py\"|<frozen (site|runpy|importlib)",  # Python interrupted before any code of ours
)
"""A traceback is allowed if a line of it has one of these and none is of a file of the repository."""


class Fault(NamedTuple):
    """What happens to a command: after ``moment`` of the usual time of ``stage``, ``number`` is sent to ``target``."""

    stage: str
    target: str
    number: signal.Signals
    moment: float

    @classmethod
    def drawn(cls, random: Random, stages: tuple[str, ...]) -> "Fault":
        """One in the stages that are left, more often than not in the first of them."""
        stage = stages[0] if random.random() < 0.6 else random.choice(stages)
        # Beyond 1: while DVC stores what the stage has made.
        return cls(stage, random.choice(TARGETS[stage]), random.choice(SIGNALS), random.uniform(0, 1.2))


@dataclass
class Outcome:
    """What became of a command."""

    status: int
    seconds: float
    """From the fault to its end."""
    output: str
    hit: str = ""
    """The process that was hit; empty if the command ended before."""
    orphans: list[str] = field(default_factory=list)

    @property
    def tracebacks(self) -> list[str]:
        """Those that nothing allows."""
        blocks = re.findall(
            r"Traceback \(most recent call last\):.*?^\S*\w+(?:Error|Exception|Interrupt|Exit|Died)\b.*?$",
            self.output,
            re.S | re.M,
        )
        count = self.output.count("Traceback (most recent call last)")
        bad = [block for block in blocks if not allowed(block)]
        return bad + ["a traceback that does not end"] * (count - len(blocks))


def allowed(traceback: str) -> bool:
    """Whether a traceback is of DVC or Python alone."""
    ours = re.search(r'File "[^"]*/(stages|workflow|alexnet)/|torch/', traceback)
    return not ours and any(re.search(pattern, traceback) for pattern in ALLOWED_TRACEBACKS)


class Workflow:
    """A clone with settings of a short training, in which one command is run again and again."""

    def __init__(self, folder: Path, **changes: object) -> None:
        folder.mkdir(parents=True)
        # Saved at each step: a training of seconds is to be resumed in its middle.
        short = {"data.limit": 60, "machine.checkpoint_minutes": 1e-9, "machine.workers": 2, "machine.log_model": False}
        self.folder = clone(folder, settings_of("cifar10-32", **SMALL | short | changes))
        self.usual: dict[str, float] = {}
        """Seconds of each stage in the undisturbed run."""

    def run(self, *command: str, fault: Fault | None = None, **variables: str) -> Outcome:
        """Run ``command``, with a fault in its middle, and wait until all its processes are gone."""
        mark, log = str(time.monotonic_ns()), self.folder.parent / "output"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=activated() | variables | {MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                dvc = psutil.Process(process.pid)
                hit = self._strike(dvc, fault) if fault else self._measure(dvc)
                began = time.monotonic()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LONGEST)  # DVC itself ignores Ctrl-C while a stage runs, and goes on
                ended = time.monotonic()
                while list(marked(mark)) and time.monotonic() - ended < ENDED_WITHIN:
                    time.sleep(0.1)
                orphans = [name_of(left) for left in marked(mark)]
            finally:
                for left in marked(mark):
                    left.kill()
        return Outcome(process.returncode, time.monotonic() - began, log.read_text(errors="replace"), hit, orphans)

    def _measure(self, dvc: psutil.Process) -> str:
        """Note how long each stage takes."""
        first, last = dict[str, float](), dict[str, float]()
        while not gone(dvc):
            for stage in STAGES:
                if stage_of(tree(dvc), stage):
                    first.setdefault(stage, time.monotonic())
                    last[stage] = time.monotonic()
            time.sleep(0.1)
        self.usual = {stage: last[stage] - first[stage] for stage in first} | self.usual
        return ""

    def _strike(self, dvc: psutil.Process, fault: Fault) -> str:
        """Wait for the fault's moment and send the signal. Returns what it hit."""
        stages = STAGES[STAGES.index(fault.stage) :]
        while not (running := [stage for stage in stages if stage_of(tree(dvc), stage)]):
            if gone(dvc):
                return ""
            time.sleep(0.1)
        (stage, *_) = running  # a later one, if DVC had stored that of the fault
        time.sleep(fault.moment * self.usual[stage])
        processes = tree(dvc)
        if gone(dvc):
            return ""
        members: dict[str, list[psutil.Process]] = {
            "dvc": [dvc],
            "stage": stage_of(processes, stage),
            "torchrun": stage_of(processes, stage),
            "rank 0": rank_of(processes, "0"),
            "rank 1": rank_of(processes, "1"),
            "worker": [child for process in stage_of(processes, stage) for child in tree(process)[1:]][-1:],
            "group": [process for process in processes if group(process) == dvc.pid],
            "all": processes,
        }
        # While DVC stores a stage, nobody else is there.
        target = fault.target if fault.target in TARGETS[stage] and members[fault.target] else "dvc"
        for process in members[target]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(fault.number)
        return f"{stage}: {target}"

    def keep_prepared(self) -> None:
        """Commit DVC's lock of the prepared data alone, to which ``again`` returns."""
        lock = self.folder / "dvc.lock"
        content = YAML(typ="safe").load(lock)
        content["stages"] = {stage: made for stage, made in content["stages"].items() if stage not in TRAINING}
        YAML().dump(content, lock)
        execute(self.folder, "git", "add", "dvc.lock")
        execute(self.folder, "git", "commit", "-qm", "prepared")

    def change(self, **settings: object) -> None:
        """Other settings of params.yaml, until ``again``."""
        file = self.folder / "params.yaml"
        YAML().dump(YAML(typ="safe").load(file) | settings, file)

    def again(self) -> None:
        """Forget the training and all after it."""
        execute(self.folder, "git", "checkout", "-q", "HEAD", "--", "dvc.lock", "params.yaml")
        for name in ("models", "reports", "data/evaluation", ".checkpoints", ".dvc/cache/runs"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def outs(self) -> dict[str, str]:
        """Hashes of all files that the stages made, and what DVC knows of them."""
        made = [path for name in ("data", "models", "reports") for path in (self.folder / name).rglob("*") if path.is_file()]
        files = {str(path.relative_to(self.folder)): sha256_of(path) for path in made if path.name != ".gitignore"}
        stages = YAML(typ="safe").load(self.folder / "dvc.lock")["stages"]
        return files | {f"dvc.lock: {stage}": str(made) for stage, made in stages.items()}


def tree(dvc: psutil.Process) -> list[psutil.Process]:
    """The process and all its descendants."""
    with suppress(psutil.NoSuchProcess):
        return [dvc, *dvc.children(recursive=True)]
    return []


def words(process: psutil.Process) -> list[str]:
    """Its command line; empty if it has gone."""
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def group(process: psutil.Process) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(process.pid)
    return 0


def stage_of(processes: list[psutil.Process], stage: str) -> list[psutil.Process]:
    """The process of a stage: torchrun's for ``train``."""
    found = [process for process in processes if f"stages.{stage}" in words(process)]
    return [process for process in found if stage != "train" or "workflow.torchrun" in words(process)]


def rank_of(processes: list[psutil.Process], number: str) -> list[psutil.Process]:
    """The rank of that number, which torchrun has given it in its environment."""
    ranks = []
    for process in processes:
        with suppress(psutil.Error):
            if "stages.train" in words(process) and process.environ().get("RANK") == number:
                ranks.append(process)
    return ranks


def gone(process: psutil.Process) -> bool:
    """Whether it has ended, though nobody may have asked for its status."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def marked(mark: str) -> Iterator[psutil.Process]:
    """The processes of a command that are alive."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def name_of(process: psutil.Process) -> str:
    return " ".join(words(process))[:120]


def end_all_in(folder: Path) -> None:
    """Kill the processes whose working directory is in ``folder``, and wait for their end."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                process.kill()
                found.append(process)
    psutil.wait_procs(found, timeout=30)
