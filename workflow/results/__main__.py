"""``python -m workflow.results``: what docs/results.md lacks, how long that takes on this machine, and its trainings."""

import argparse
import os
import sys
from pathlib import Path

from alexnet.errors import UserError
from alexnet.output import complain, flush, say
from stages.command import yaml
from stages.provenance import git
from workflow.results.estimates import Speeds, write_estimates
from workflow.results.plain import Plan, execute, prepare
from workflow.results.records import gather, read_all, without_record
from workflow.results.rows import Run, Schedule, chosen


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
    parser.add_argument(
        "--list", action="store_true", help="train nothing; say what is lacking, and how long it takes by a few timed steps"
    )
    parser.add_argument("--gather", type=Path, metavar="FOLDER", help="take the records of FOLDER into docs/results")
    plain = parser.add_argument_group("without DVC and MLflow")
    plain.add_argument("--plain", type=Path, metavar="DATA", help="train on the data prepared in DATA/32 and DATA/256")
    plain.add_argument("--images", metavar="FOLDER", help="a folder of images, from which DATA is prepared if it is not")
    plain.add_argument("--out", type=Path, metavar="FOLDER", help="for records and trainings; else DATA/results")
    plain.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time")
    plain.add_argument("--workers", type=int, metavar="N", help="decoding threads of each; else its share of the cores")
    plain.add_argument("--minutes", type=float, metavar="M", help="start nothing that would take longer, then stop what runs")
    plain.add_argument("--commit", default="", metavar="HASH", help="of the code, where git does not know it")
    try:
        try:
            arguments = parser.parse_args()
        finally:
            flush()
        sys.exit(command(arguments))
    except UserError as error:
        complain(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        complain("interrupted; the same command goes on")
        sys.exit(130)


def command(arguments: argparse.Namespace) -> int:
    """The exit status."""
    if arguments.gather:
        names = gather(arguments.gather)
        say(f"{len(names)} records: {', '.join(names)}; `python -m docs.tables` and `python -m docs.figures` show them")
        return 0
    schedule: Schedule = arguments.schedule or ("full" if device() != "cpu" else "short")
    runs = chosen([name.strip() for name in arguments.rows.split(",") if name.strip()], schedule)
    return plainly(runs, arguments) if arguments.plain else with_dvc(runs, arguments)


def plainly(runs: list[Run], arguments: argparse.Namespace) -> int:
    """Run what has no record in the folder of the records. The exit status."""
    out: Path = (arguments.out or arguments.plain / "results").resolve()
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(arguments.plain.resolve(), out, arguments.jobs, arguments.workers, arguments.minutes)
    plan.more = overrides(arguments.set_param)
    plan.commit = arguments.commit or git("-C", str(Path(__file__).parent), "rev-parse", "HEAD")
    plan.machine = machine(arguments.jobs)
    runs = [run for run in runs if not (out / f"{run.name}.json").exists()]
    speeds = Speeds(out / "speeds.json")
    if arguments.list:
        show({run.name: speeds.seconds(plan.settings(run)) for run in runs})
        return 0
    prepare(plan, runs, arguments.images)
    return farewell(execute(plan, runs, speeds))


def with_dvc(runs: list[Run], arguments: argparse.Namespace) -> int:
    """Say what the table lacks and how long it takes, then run it as experiments. The exit status."""
    from workflow.results.experiments import run_all

    runs, speeds = without_record(runs, read_all()), Speeds()
    needed = {run.name: speeds.seconds(run.settings(overrides(arguments.set_param))) for run in runs}
    show(needed)
    if arguments.list:
        write_estimates(needed)
    return 0 if arguments.list else farewell(run_all(runs, arguments.set_param, machine(jobs=1)))


def show(seconds: dict[str, float]) -> None:
    """Print what has no record, and how long each takes."""
    for name, needed in seconds.items():
        say(f"{name:<28} {needed / 60:8.1f} min")
    say(f"{len(seconds)} trainings without a record, about {sum(seconds.values()) / 60:.0f} min one after the other")


def farewell(lacking: list[str]) -> int:
    """Print what still has no record. The exit status."""
    say("\n".join(["", *(lacking or ["every row has a record"])]))
    return 1 if lacking else 0


def overrides(texts: list[str]) -> dict[str, object]:
    """``KEY=VALUE`` as settings."""
    for text in texts:
        if "=" not in text:
            raise UserError(f"-S {text}: write KEY=VALUE")
    return {text.partition("=")[0]: yaml(text.partition("=")[2]) for text in texts}


def device() -> str:
    """``cpu``, or the name of the GPU."""
    import torch

    from alexnet.models.devices import computing_device

    found = computing_device()
    return torch.cuda.get_device_name(found) if found.type == "cuda" else "cpu"


def machine(jobs: int) -> str:
    """What a record says of the machine."""
    cores, gpu = len(os.sched_getaffinity(0)), device()
    lines = Path("/proc/cpuinfo").read_text(errors="ignore").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")
    beside = f", {jobs} trainings at a time" if jobs > 1 else ""
    return f"{gpu if gpu != 'cpu' else model}, {cores} core{'s' if cores > 1 else ''}{beside}"


if __name__ == "__main__":
    main()
