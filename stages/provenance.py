"""The name and the tags of this process's run in MLflow: DVC's experiment, and the commit of the code."""

import os
import subprocess

from stages import paths

WORKSPACE = "workspace"
"""DVC's word for the files of the working tree, outside any experiment."""


def run_name() -> str:
    """The DVC experiment's name; outside one the short commit, with ``-dirty`` if tracked files differ from it."""
    if name := os.environ.get("DVC_EXP_NAME"):
        return name
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed_code() else "")


def changed_code() -> bool:
    """Whether tracked files differ from the last commit, apart from those that the stages write."""
    written = [f":!{path}" for path in ("dvc.lock", paths.CURVES.parent)]
    return bool(git("status", "--porcelain", "--untracked-files=no", "--", ".", *written))


def run_of(model_sha256: str) -> dict[str, str]:
    """The tags by which a later stage finds the run of its model, in the same experiment."""
    return {"model_sha256": model_sha256, "dvc_experiment": os.environ.get("DVC_EXP_NAME") or WORKSPACE}


def run_tags() -> dict[str, str]:
    """``git_commit``, by MLflow's own names too, and ``dvc_experiment``, which outside an experiment is ``workspace``."""
    return tags(os.environ.get("DVC_EXP_BASELINE_REV") or git("rev-parse", "HEAD"), os.environ.get("DVC_EXP_NAME") or WORKSPACE)


def tags(commit: str, experiment: str) -> dict[str, str]:
    """The tags of a run of ``commit``, made in the DVC experiment of that name or in the workspace."""
    source = {"mlflow.source.name": "stages/train.py", "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": commit}
    return {"git_commit": commit, "dvc_experiment": experiment} | source


def git(*arguments: str) -> str:
    """What git prints; empty before the first commit and without git, for which a training need not stop."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
