"""Interrupts trainings again and again until each ends, compares them with an undisturbed one, and keeps count."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random

from faults.harness import REPRO, STAGES, TRAINING, Fault, Outcome, Workflow
from helpers.clones import execute

MOST = 12
"""Interruptions of one training, after which it may end."""
STORED = "conflicts with existing experiment"
"""What DVC says if it had stored an experiment before its command was interrupted."""
DAMAGED = ("dvc.lock' validation failed", "Unable to read RWLock-file")
"""What DVC says if it was interrupted while it wrote a file of its own; ``workflow.check`` restores that."""


class Campaign:
    """Trainings that are interrupted, in one clone."""

    def __init__(self, folder: Path, seed: int, say: Callable[[str], None], undisturbed: Workflow, **changes: object) -> None:
        """``undisturbed`` has run with the same settings. ``say`` gets a line for each command."""
        self.random, self.say = Random(seed), say
        self.expected = undisturbed.outs()
        self.workflow = Workflow(folder / "interrupted", **changes)
        self.workflow.usual = undisturbed.usual
        self.done: list[tuple[Fault, Outcome]] = []
        self.trainings = 0
        self.wrong: list[str] = []
        """What must not be: other results, processes left, tracebacks, a command that does not go on."""

    @property
    def hits(self) -> int:
        """The number of interruptions."""
        return len(self.done)

    def train(self, most: int = MOST, temporary: bool = False) -> None:
        """One training that is interrupted at most so often; the first includes the preparation of the data."""
        name = f"training-{self.trainings}"
        command = ("dvc", "exp", "run", "--temp", "-n", name) if temporary else REPRO
        if self.trainings:
            self.workflow.again()
        left: tuple[str, ...] = STAGES if command == REPRO and not self.trainings else TRAINING
        for _ in range(most):
            fault = Fault.drawn(self.random, left)
            outcome = self._run(*command, fault=fault)
            self._note(fault, outcome)
            if outcome.status == 0:
                break
            if outcome.hit:
                left = left[left.index(outcome.hit.partition(":")[0]) :]
            if left == TRAINING[-1:]:
                outcome = self._run(*command)
                break
        else:
            outcome = self._run(*command)
        if outcome.status:
            outcome = self._run(*command)
        if temporary and STORED in outcome.output:
            outcome.status = 0
        if outcome.status:
            self._wrong(f"{name} does not go on: exit {outcome.status}", outcome.output)
        elif temporary:
            execute(self.workflow.folder, "dvc", "exp", "apply", name)
        made = self.workflow.outs() if not outcome.status else self.expected
        if differing := sorted(key for key in made | self.expected if made.get(key) != self.expected.get(key)):
            self._wrong(f"{name} differs: {', '.join(differing)}", outcome.output)
        self.say(f"{name} ({' '.join(command[:2])}): ended with {'other' if differing else 'the same'} outs")
        if not self.trainings:
            self.workflow.keep_prepared()
        self.trainings += 1

    def _run(self, *command: str, fault: Fault | None = None) -> Outcome:
        outcome = self.workflow.run(*command, fault=fault)
        if any(words in outcome.output for words in DAMAGED):
            self.say(f"      {execute(self.workflow.folder, 'python', '-m', 'workflow.check').strip()}")
            outcome = self.workflow.run(*command, fault=fault)
        return outcome

    def _note(self, fault: Fault, outcome: Outcome) -> None:
        if not outcome.hit:
            return
        self.done.append((fault, outcome))
        what = f"{fault.number.name} to {outcome.hit}"
        self.say(f"{self.hits:4}  {what:32} exit {outcome.status}, gone after {outcome.seconds:.1f} s")
        for traceback in outcome.tracebacks:
            self._wrong(f"traceback after {what}", traceback + "\n--- all output:\n" + outcome.output)
        for left in outcome.orphans:
            self._wrong(f"process left after {what}: {left}", outcome.output)

    def _wrong(self, line: str, details: str) -> None:
        self.wrong.append(f"{line}\n{details}")
        rule = "-" * 100
        self.say(f"WRONG: {line}\n{rule}\n{details}\n{rule}")

    def table(self) -> str:
        """Fault, process, how often, and what happened, as Markdown."""
        rows: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
        for fault, outcome in self.done:
            rows[fault.number.name, outcome.hit.partition(": ")[2]].append(outcome)
        lines = [
            "| Fault | Process | Times | Stages | Exit status | Gone within | Processes left | Tracebacks |",
            "|---" * 8 + "|",
        ]
        for (number, process), outcomes in sorted(rows.items()):
            cells = (
                number,
                process,
                len(outcomes),
                ", ".join(sorted({outcome.hit.partition(":")[0] for outcome in outcomes})),
                ", ".join(map(str, sorted({outcome.status for outcome in outcomes}))),
                f"{max(outcome.seconds for outcome in outcomes):.0f} s",
                sum(len(outcome.orphans) for outcome in outcomes),
                sum(len(outcome.tracebacks) for outcome in outcomes),
            )
            lines.append("| " + " | ".join(map(str, cells)) + " |")
        return "\n".join(lines)
