"""What dvc.yaml declares is what the stages use, none missing and none to spare."""

import ast
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp
import pytest
from helpers.nets import settings_of
from ruamel.yaml import YAML

from alexnet.config.section import Section
from alexnet.config.check import Settings
from stages import paths

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
GRAPH = grimp.build_graph("alexnet", "stages", cache_dir=None)
DATA = {
    "download": set(),
    "pca": {paths.RAW},
    "preprocess": {paths.RAW},
    "train": {paths.EIGENBASIS, paths.MEAN, paths.SHARDS},
    "evaluate": {paths.MODEL, paths.CARD, paths.SHARDS},
    "report": {paths.EIGENBASIS, paths.MEAN, paths.EVALUATION, paths.CARD, paths.METRICS, paths.CURVES},
}
OUTS = {
    "download": {paths.RAW},
    "pca": {paths.EIGENBASIS, paths.MEAN},
    "preprocess": {paths.SHARDS},
    "train": {paths.MODEL, paths.CARD, paths.CURVES},
    "evaluate": {paths.EVALUATION, paths.METRICS},
    "report": {paths.SUMMARY, paths.PAGE, paths.FIGURES},
}


def source(module: str) -> Path:
    path = Path(*module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def imported(stage: str) -> set[Path]:
    """The files of ours that a stage's commands import, but for packages' files that hold nothing but words.

    ``workflow.check`` is left out: it can refuse, but writes nothing.
    """
    commands = {f"stages.{name}" for name in re.findall(r"-m stages\.(\w+)", str(STAGES[stage]["cmd"]))} - {"workflow.check"}
    assert f"stages.{stage}" in commands
    modules = commands.union(*(GRAPH.find_upstream_modules(command) for command in commands))
    packages = {module.rsplit(".", depth)[0] for module in modules for depth in range(1, module.count(".") + 1)}
    return {source(module) for module in modules | packages if not only_words(source(module))}


def only_words(path: Path) -> bool:
    body = ast.parse((ROOT / path).read_text()).body
    return len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def leaves(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_every_module_that_a_stage_imports_and_no_other(stage: str) -> None:
    declared = {Path(dep) for dep in STAGES[stage]["deps"]}
    assert Path("requirements.txt") in declared
    code = declared - DATA[stage] - {Path("requirements.txt")}
    uncovered = {path for path in imported(stage) if not any(path == dep or dep in path.parents for dep in code)}
    assert not uncovered
    idle = {dep for dep in code if not any(path == dep or dep in path.parents for path in imported(stage))}
    assert not idle


@pytest.mark.parametrize("stage", STAGES)
def test_deps_and_outs_are_the_paths_of_the_code(stage: str) -> None:
    declared = {Path(dep) for dep in STAGES[stage]["deps"]}
    assert declared >= DATA[stage]
    assert not (set().union(*OUTS.values()) - DATA[stage]) & declared
    outs = [
        Path(next(iter(out)) if isinstance(out, dict) else out)
        for kind in ("outs", "metrics", "plots")
        for out in STAGES[stage].get(kind, [])
    ]
    assert set(outs) == OUTS[stage]
    assert len(outs) == len(set(outs))


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_keys_that_a_stages_section_names(stage: str) -> None:
    module = importlib.import_module(f"stages.{stage}")
    section = getattr(module, "Params", None)
    assert sorted(STAGES[stage].get("params", [])) == sorted(leaves(section) if section else [])


def test_params_yaml_holds_every_setting(shipped: Any) -> None:
    def keys(mapping: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for name, value in mapping.items():
            yield from keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]

    assert sorted(keys(shipped())) == sorted(leaves(Settings))


def test_download_does_not_depend_on_settings_of_the_training() -> None:
    assert not any(str(path).startswith("alexnet/settings/training") for path in imported("download"))


def test_a_stage_reads_every_key_that_its_section_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are declared but not read would make DVC run a stage again for nothing."""
    read: set[str] = set()
    plain = Section.__getattribute__

    def recording(self: Section, name: str) -> Any:
        if name in type(self).model_fields:
            read.update(f"{base.__name__}.{name}" for base in type(self).__mro__ if issubclass(base, Section))
        return plain(self, name)

    few = {"data.source": "digits", "data.limit": 10, "data.blends": 1, "batch_size": 5, "epochs": 1, "lr_schedule": "plateau"}
    params = settings_of("cifar10-32", **few, precision="float32", **{"pipeline.ranks": 1, "pipeline.microbatches": 1})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    YAML().dump(params, tmp_path / "params.yaml")
    for stage in STAGES:
        module = importlib.import_module(f"stages.{stage}")
        section = getattr(module, "Params", None)
        if section is None:
            continue
        settings = section.read(params)
        read.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Section, "__getattribute__", recording)
            module.main(settings)
        assert set(named(section)) - read <= ELSEWHERE, stage
    assert os.listdir(tmp_path / "models")


ELSEWHERE = {"Source.root", "Pipeline.cuts", "Pipeline.schedule", "Training.lr_milestones", "Training.lr_step"}
"""Read by other sources and schedules, and where there are several ranks; this test's training has one."""


def named(section: type[Section]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield f"{section.__name__}.{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from named(field.annotation)
