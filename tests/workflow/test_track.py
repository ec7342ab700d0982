"""`python -m workflow.track` in a small repository with real experiments of DVC."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.staged import params_text

from alexnet.files.whole import sha256_of
from alexnet.tracking.client import Store
from stages import provenance
from stages.command import run
from workflow.track import main

DVC_YAML = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr, pipeline]
    outs: [models/alexnet.safetensors, models/alexnet.json]
    plots:
      - reports/train.csv: {cache: false}
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, models/alexnet.safetensors]
    metrics:
      - reports/metrics.json: {cache: false}
"""

TRAIN = """
import hashlib, json, sys
from pathlib import Path
lr = next(line.split()[1] for line in open("params.yaml") if line.startswith("lr:"))
Path("models").mkdir(exist_ok=True)
Path("reports").mkdir(exist_ok=True)
model = f"weights {lr}".encode()
Path("models/alexnet.safetensors").write_bytes(model)
data = {"source": "digits", "images": {"train": 9, "test": 3}, "rejects": 0, "sha256": {"train": "d1", "test": "d2"}}
facts = {"classes": ["0", "1"], "epochs": 2, "settings": {"lr": float(lr)}}
card = {"sha256": hashlib.sha256(model).hexdigest(), "data": data, **facts}
Path("models/alexnet.json").write_text(json.dumps(card))
if Path("stop").exists():
    Path("reports/train.csv").write_text("epoch,lr\\n1,0.9\\n")
    sys.exit(1)
rows = [f"{epoch},{lr},{2 / epoch},0.5,{3 / epoch},0.4,0.1\\n" for epoch in (1, 2)]
header = "epoch,lr,train_loss,train_top1_error,val_loss,val_top1_error,val_top5_error\\n"
Path("reports/train.csv").write_text(header + "".join(rows))
"""

EVALUATE = """
import json
way = {"top1_error": 0.1, "top5_error": 0.0, "loss": 0.3}
json.dump({"center": way, "ten_crop": way, "images": 9, "classes": 3}, open("reports/metrics.json", "w"))
"""


def sh(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")} | {
        "PATH": path,
        "DVC_NO_ANALYTICS": "1",
    }
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository after `dvc repro`, an experiment that DVC skipped, a new one and one that was trained and not tested."""
    folder = tmp_path_factory.mktemp("repository")
    for name, text in {
        "params.yaml": re.sub("^lr:.*", "lr: 0.01", params_text(), flags=re.MULTILINE),
        "dvc.yaml": DVC_YAML,
        "train.py": TRAIN,
        "evaluate.py": EVALUATE,
        ".gitignore": "/models/\n/mlflow.db*\n",
    }.items():
        (folder / name).write_text(text)
    sh(folder, "git", "init", "-q")
    sh(folder, "git", "config", "user.name", "somebody")
    sh(folder, "git", "config", "user.email", "somebody@localhost")
    sh(folder, "git", "config", "commit.gpgsign", "false")
    sh(folder, "dvc", "init", "-q")
    sh(folder, "dvc", "repro", "-q")
    sh(folder, "git", "add", "-A")
    sh(folder, "git", "commit", "-qm", "a model")
    sh(folder, "dvc", "exp", "run", "-q", "-n", "skipped", "-S", "lr=0.01")
    sh(folder, "dvc", "exp", "run", "-q", "-n", "new", "--temp", "-S", "lr=0.02")
    sh(folder, "dvc", "exp", "run", "-q", "-n", "un'tested", "--temp", "-S", "lr=0.03", "train")
    return folder


@pytest.fixture(scope="module")
def tracked(repository: Path) -> Store:
    """The store: the plain `dvc repro` reached it, then an outage cut the run of `new` off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = Store(repository)
    model = {"dvc_experiment": "workspace", "model_sha256": sha256_of(repository / "models/alexnet.safetensors")}
    plain = store.create("plain", model)
    commit = sh(repository, "git", "rev-parse", "HEAD").strip()
    cut = store.create("new", {"dvc_experiment": "new", "git_commit": commit})
    cut.points([("train_loss", 2.0, 1, 1_000)])
    cut.params({"lr": 0.02})
    assert plain.status == cut.status == "RUNNING"
    return store


@pytest.fixture
def lines(repository: Path, tracked: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What calls the command and returns the lines that it printed."""
    monkeypatch.chdir(repository)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def call() -> list[str]:
        run(main)
        return capsys.readouterr().out.splitlines()

    return call


def stored_run(store: Store, name: str) -> Any:
    (stored,) = store.runs({"dvc_experiment": name})
    return stored._client.get_run(stored._id)


def test_each_experiment_gets_its_run_and_a_second_call_sends_nothing(lines: Any, tracked: Store) -> None:
    assert lines() == ["skipped: sent", "new: completed", "un'tested: sent", "plain: completed"]
    everything = {run.info.run_id: run.to_dictionary() for run in (stored_run(tracked, name) for name in NAMES)}
    assert lines() == ["MLflow has every run"]
    assert {run.info.run_id: run.to_dictionary() for run in (stored_run(tracked, name) for name in NAMES)} == everything


NAMES = ("skipped", "new", "un'tested", "workspace")


def test_a_skipped_training_appears_with_the_same_curves_and_results(tracked: Store) -> None:
    skipped, plain = stored_run(tracked, "skipped"), stored_run(tracked, "workspace")
    assert skipped.info.run_name == "skipped" and skipped.info.status == "FINISHED"
    assert skipped.data.metrics == plain.data.metrics
    assert skipped.data.metrics["ten_crop_top1_error"] == 0.1 and skipped.data.metrics["val_loss"] == 1.5
    assert skipped.data.params == plain.data.params
    assert {skipped.data.params[name] for name in ("lr", "lineage.images.train")} == {"0.01", "9"}
    (stored,) = tracked.runs({"dvc_experiment": "skipped"})
    assert stored.files("models") == {"models/alexnet.json"}
    assert served(tracked, "skipped") == b"weights 0.01"
    assert stored.files("reports") == {"reports/train.csv", "reports/metrics.json"}


def served(store: Store, experiment: str) -> bytes:
    """The weights of the experiment's version in the registry."""
    (stored,) = store.runs({"dvc_experiment": experiment})
    assert stored.registry.version
    return (Path(str(stored.registry.version.source).removeprefix("file://")) / "data/alexnet.safetensors").read_bytes()


def test_the_champion_is_found_for_experiments_that_are_sent_later(tracked: Store) -> None:
    (untested,) = tracked.runs({"dvc_experiment": "un'tested"})
    assert untested.registry.version and "test_error" not in untested.registry.version.tags
    version = untested._client.get_model_version_by_alias("alexnet", "champion-digits")
    assert version.tags["test_error"] == "0.1"
    assert served(tracked, "un'tested") == b"weights 0.03"


def test_a_run_that_was_cut_off_is_completed_without_doubles(tracked: Store) -> None:
    new = stored_run(tracked, "new")
    (stored,) = tracked.runs({"dvc_experiment": "new"})
    curve = stored._client.get_metric_history(new.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 2.0), (2, 1.0)]
    assert (new.info.status, new.data.params["lr"], new.data.tags["data_source"]) == ("FINISHED", "0.02", "digits")


def test_an_untested_model_does_not_get_the_results_of_another(tracked: Store) -> None:
    untested = stored_run(tracked, "un'tested").data
    assert untested.metrics["lr"] == 0.03
    assert not [name for name in untested.metrics if name.startswith(("center", "ten_crop"))]


def test_the_workspace_of_an_applied_experiment_has_no_run_of_its_own(lines: Any, repository: Path, tracked: Store) -> None:
    sh(repository, "dvc", "exp", "apply", "-q", "new")
    assert lines() == ["MLflow has every run"]
    assert len(tracked.runs({})) == len(NAMES)


def test_a_model_that_left_the_cache_costs_no_run(lines: Any, repository: Path) -> None:
    sh(repository, "dvc", "exp", "run", "-q", "-n", "uncached", "--temp", "-S", "lr=0.04")
    commit = sh(
        repository,
        "git",
        "rev-parse",
        *sh(repository, "git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/uncached").split(),
    )
    lock = sh(repository, "git", "show", f"{commit.strip()}:dvc.lock")
    digest = lock.split("models/alexnet.json")[1].split("md5:")[1].split()[0]
    (repository / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()
    assert lines() == ["uncached: sent"]
    assert lines() == ["MLflow has every run"]


def test_a_later_training_that_was_stopped_gets_nothing_of_the_one_before(lines: Any, repository: Path, tracked: Store) -> None:
    commit = stored_run(tracked, "new").data.tags["git_commit"]
    for name, run_of in (("new", commit), ("uncached", "0" * 40)):
        tracked.create(name, {"dvc_experiment": name, "git_commit": run_of, "stopped": name})
    sh(repository, "dvc", "exp", "run", "-q", "-n", "elsewhere", "--temp", "-S", "lr=0.05")
    tracked.create("elsewhere", {"dvc_experiment": "elsewhere", "git_commit": "0" * 40, "stopped": "elsewhere"})
    assert lines() == ["elsewhere: sent"]
    for name in ("new", "uncached", "elsewhere"):
        (stopped,) = tracked.runs({"stopped": name})
        assert stopped.status == "RUNNING" and "model_sha256" not in stopped.found_tags


def test_a_renamed_experiment_keeps_its_run(lines: Any, repository: Path, tracked: Store) -> None:
    sh(repository, "dvc", "exp", "run", "-q", "-n", "before", "--temp", "-S", "lr=0.06")
    commit = sh(repository, "git", "rev-parse", "HEAD").strip()
    model = {"git_commit": commit, "model_sha256": hashlib.sha256(b"weights 0.06").hexdigest()}
    sh(repository, "git", "commit", "-qm", "later", "--allow-empty")
    # Neither a plain `dvc repro` of the earlier commit nor a removed experiment of other settings was renamed.
    tracked.create("plain", {"dvc_experiment": "workspace"} | model)
    tracked.create("removed", {"dvc_experiment": "removed"} | model).params({"machine.workers": 7})
    assert lines() == ["before: sent"]
    run_id = stored_run(tracked, "before").info.run_id
    sh(repository, "dvc", "exp", "rename", "before", "after")
    assert lines() == ["after: renamed, was before"]
    renamed = stored_run(tracked, "after")
    assert (renamed.info.run_id, renamed.info.run_name, renamed.info.status) == (run_id, "after", "FINISHED")
    assert tracked.runs({"dvc_experiment": "before"}) == []
    assert lines() == ["MLflow has every run"]


def test_a_forced_training_that_was_stopped_is_not_taken_for_the_finished_model(
    lines: Any, repository: Path, tracked: Store
) -> None:
    sh(repository, "git", "checkout", "-q", "--", ".")
    (repository / "params.yaml").write_text((repository / "params.yaml").read_text().replace("lr: 0.01", "lr: 0.07"))
    sh(repository, "dvc", "repro", "-q")
    assert lines()[-1].endswith("-dirty: sent")
    before = len(tracked.runs({}))
    (repository / "reports/metrics.json").unlink()  # as a forced `evaluate` that was stopped
    assert lines() == ["MLflow has every run"]
    (finished,) = tracked.runs({"model_sha256": hashlib.sha256(b"weights 0.07").hexdigest()})
    finished._client.delete_run(finished._id)
    (repository / "stop").touch()
    with pytest.raises(subprocess.CalledProcessError):
        sh(repository, "dvc", "repro", "-q", "--force")
    assert lines() == ["MLflow has every run"]
    assert len(tracked.runs({})) == before - 1
    (repository / "stop").unlink()
    finished._client.restore_run(finished._id)


def test_the_run_of_a_process_that_was_killed_is_running_no_more(lines: Any, tracked: Store) -> None:
    code = (
        "import os, sys; from pathlib import Path; from alexnet.tracking.background import BackgroundRun; "
        "from alexnet.tracking.client import Store; "
        "run = BackgroundRun(Store(Path(sys.argv[1])), 'cut off', {'training': 'token'}); "
        "run.metrics({'loss': 0.5}, 1); os._exit(9)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(tracked.root)], cwd=root, env=environment, check=False, timeout=120)
    assert lines() == ["cut off: ended as KILLED"]
    (stored,) = tracked.runs({"training": "token"})
    assert (stored.status, stored.steps("loss")) == ("KILLED", {1})


def test_a_server_that_is_down_is_reported_in_one_line(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: MLflow at http://127.0.0.1:9 failed (")


def test_a_run_is_named_for_its_experiment_or_else_its_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    sh(repository, "git", "checkout", "-q", "--", ".")
    commit = sh(repository, "git", "rev-parse", "HEAD").strip()
    (repository / "dvc.lock").write_text((repository / "dvc.lock").read_text() + "\n")
    assert commit.startswith(provenance.run_name())
    (repository / "train.py").write_text("")
    assert provenance.run_name().endswith("-dirty")
    assert (provenance.run_tags()["git_commit"], provenance.run_tags()["dvc_experiment"]) == (commit, "workspace")
    monkeypatch.setenv("DVC_EXP_NAME", "tidy-mouse")
    assert (provenance.run_name(), provenance.run_tags()["dvc_experiment"]) == ("tidy-mouse", "tidy-mouse")
