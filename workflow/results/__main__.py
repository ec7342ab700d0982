"""``python -m workflow.results``: what docs/results.md lacks, how long that takes on this machine, and its trainings."""

import argparse
import os
import sys
from pathlib import Path

from filelock import FileLock, Timeout
from ruamel.yaml.error import YAMLError

from alexnet.config.processor import processor, refuse_emulation
from alexnet.config.section import flat
from alexnet.errors import UserError
from alexnet.output import complain, flush, say
from stages.command import yaml
from stages.provenance import changed_code, git
from workflow.recipe import refuse_unknown, shipped
from workflow.results.estimates import Speeds, write_estimates
from workflow.results.plain import Plan, execute, job_of, need, prepare
from workflow.results.records import gather, read_all, read_folder, recorded, without_record
from workflow.results.rows import SCHEDULES, Run, Schedule, chosen


def main() -> None:
    """Read the command line and do what it asks. Exit 1 if a training has no record at the end, 2 if none could begin."""
    parser = argparse.ArgumentParser(prog="python -m workflow.results", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", default="", metavar="ID,ID", help="these rows instead of all")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--full", dest="schedule", action="store_const", const="full", help="the full schedules, even without a GPU"
    )
    which.add_argument(
        "--short", dest="schedule", action="store_const", const="short", help="the short schedules, even with a GPU"
    )
    parser.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="one more setting for all rows"
    )
    parser.add_argument("--again", action="store_true", help="also rows that have a record, which is replaced")
    parser.add_argument("--list", action="store_true", help="train nothing; say what is lacking, and how long it takes")
    parser.add_argument("--estimate", action="store_true", help="the same, into docs/results: for two CPU cores, all schedules")
    parser.add_argument("--gather", type=Path, metavar="FOLDER", help="take the records of FOLDER into docs/results")
    plain = parser.add_argument_group("without DVC and MLflow")
    plain.add_argument("--plain", type=Path, metavar="DATA", help="train on the data prepared in DATA/32 and DATA/256")
    plain.add_argument("--images", metavar="FOLDER", help="a folder of images, from which DATA is prepared if it is not")
    plain.add_argument("--out", type=Path, metavar="FOLDER", help="for records and trainings; else DATA/results")
    plain.add_argument("--jobs", type=positive, metavar="N", help="trainings at a time, else 1")
    plain.add_argument("--workers", type=positive, metavar="N", help="decoding threads of each; else its share of the cores")
    plain.add_argument("--minutes", type=float, metavar="M", help="start nothing that would take longer, then stop what runs")
    plain.add_argument("--commit", metavar="HASH", help="of the code, where git does not know it")
    try:
        try:
            arguments = parser.parse_args()
            needless = [name for name in ("images", "out", "jobs", "workers", "minutes", "commit") if getattr(arguments, name)]
            if needless and not arguments.plain:
                parser.error(f"--{needless[0]} goes with --plain")
            if arguments.again and arguments.plain:
                parser.error("--again does not go with --plain; name another folder with --out")
        finally:
            flush()
        sys.exit(command(arguments))
    except UserError as error:
        complain(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        complain(f"error: {error.filename or 'a file'}: {error.strerror or error}; fix that, then the same command goes on")
        sys.exit(2)
    except KeyboardInterrupt:
        complain("interrupted; the same command goes on")
        sys.exit(130)


def positive(text: str) -> int:
    """A number of at least 1, for ``argparse``."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def command(arguments: argparse.Namespace) -> int:
    """The exit status."""
    if arguments.gather:
        names = gather(arguments.gather)
        say(f"records taken: {', '.join(names)}; `python -m docs.tables` and `python -m docs.figures` show them")
        return 0
    schedule: Schedule = arguments.schedule or ("full" if device() != "cpu" else "short")
    ids = [name.strip() for name in arguments.rows.split(",") if name.strip()]
    if arguments.estimate:
        return estimate(ids, arguments.set_param)
    runs, more = chosen(ids, schedule), overrides(arguments.set_param)
    return plainly(runs, more, arguments) if arguments.plain else with_dvc(runs, more, arguments)


def plainly(runs: list[Run], more: dict[str, object], arguments: argparse.Namespace) -> int:
    """Run what has no record in the folder of the records. The exit status."""
    out: Path = (arguments.out or arguments.plain / "results").resolve()
    known = read_folder(out)
    runs = [run for run in runs if not recorded(run, known, more)]
    refuse_emulated(runs, more)
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(arguments.plain.resolve(), out, arguments.jobs or 1, arguments.workers, arguments.minutes, more=more)
    plan.commit = arguments.commit or commit()
    plan.machine = machine(min(plan.jobs, len(runs)))
    speeds = Speeds(out / "speeds.json")
    if arguments.list:
        show({run.name: need(job_of(plan, run), speeds) for run in runs})
        return 0
    try:
        with FileLock(out / "lock", timeout=0):
            prepare(plan, runs, arguments.images)
            return farewell(execute(plan, runs, speeds), f"python -m workflow.results --gather {out}")
    except Timeout:
        raise UserError(
            f"{out}: another process trains rows there; wait until it ends, or name another folder with --out"
        ) from None


def with_dvc(runs: list[Run], more: dict[str, object], arguments: argparse.Namespace) -> int:
    """Say what the table lacks and how long it takes, then run it as experiments. The exit status."""
    from workflow.results.experiments import refuse_what_cannot_run, run_all

    if not arguments.list:
        refuse_what_cannot_run()
    runs, speeds = runs if arguments.again else without_record(runs, read_all(), more), Speeds()
    refuse_emulated(runs, more)
    show({run.name: speeds.seconds(run.settings(more)) for run in runs})
    if arguments.list:
        return 0
    return farewell(run_all(runs, arguments.set_param, machine(jobs=1)), "python -m docs.figures && python -m docs.tables")


def estimate(ids: list[str], more: list[str]) -> int:
    """Write down how long the trainings without a record take on two CPU cores. The exit status."""
    if device() != "cpu" or len(os.sched_getaffinity(0)) != 2 or ids or more:
        raise UserError("--estimate: docs/results has the times of all rows on two CPU cores; no GPU, other cores, --rows or -S")
    lacking = without_record([run for schedule in SCHEDULES for run in chosen([], schedule)], read_all(), {})
    refuse_emulated(lacking, {})
    speeds = Speeds()
    needed = {run.name: speeds.seconds(run.settings({})) for run in lacking}
    write_estimates(needed)
    show(needed)
    return 0


def show(seconds: dict[str, float]) -> None:
    """Print what has no record, and how long each takes."""
    for name, needed in seconds.items():
        say(f"{name:<28} {needed / 60:8.1f} min")
    say(f"trainings without a record: {len(seconds)}, about {sum(seconds.values()) / 60:.0f} min one after the other")


def farewell(lacking: list[str], after: str) -> int:
    """Print what still has no record, else the command that comes ``after``. The exit status."""
    say("\n".join(["", *(lacking or [f"all of these have a record; next: {after}"])]))
    return 1 if lacking else 0


def refuse_emulated(runs: list[Run], more: dict[str, object]) -> None:
    """Raise ``UserError`` if a training is in bfloat16 and the machine has no instructions for it."""
    for run in runs:
        try:
            refuse_emulation(run.settings(more)["precision"])
        except UserError as error:
            line = str(error).replace("params.yaml: ", f"{run.name}: ")
            raise UserError(line.replace("set precision: float32", "-S precision=float32 trains without")) from None


def overrides(texts: list[str]) -> dict[str, object]:
    """``KEY=VALUE`` as settings. Raises ``UserError`` if one is not of that form, or there is no such setting."""
    found, legal = dict[str, object](), flat(shipped())
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"-S {text}: write KEY=VALUE")
        refuse_unknown(f"-S {text}", key, legal)
        if key == "seed":
            raise UserError(f"-S {text}: docs/results/rows.yaml has the seeds of each row")
        try:
            found[key] = yaml(value)
        except YAMLError:
            raise UserError(f"-S {text}: that is no value in YAML") from None
    return found


def commit() -> str:
    """That of the code here, with ``-dirty`` if it has been changed since. Raises ``UserError`` without git."""
    found = git("rev-parse", "HEAD")
    if not found:
        raise UserError("git does not know the commit of the code; name it with --commit")
    return found + ("-dirty" if changed_code() else "")


def device() -> str:
    """``cpu``, or the name of the GPU."""
    import torch

    from alexnet.models.devices import computing_device

    found = computing_device()
    return torch.cuda.get_device_name(found) if found.type == "cuda" else "cpu"


def machine(jobs: int) -> str:
    """What a record says of the machine."""
    cores, gpu = len(os.sched_getaffinity(0)), device()
    beside = f", {jobs} trainings at a time" if jobs > 1 else ""
    return f"{gpu if gpu != 'cpu' else processor()}, {cores} core{'s' if cores > 1 else ''}{beside}"


if __name__ == "__main__":
    main()
