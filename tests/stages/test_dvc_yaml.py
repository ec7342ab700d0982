"""What dvc.yaml declares is what the outs of the stages are computed from, none missing and none to spare."""

import ast
import importlib
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
from helpers.nets import settings_of
from ruamel.yaml import YAML

from alexnet.config.check import Settings
from alexnet.config.machine import Machine
from alexnet.config.nets import NETS
from alexnet.config.section import Section
from alexnet.config.sources import SOURCES
from alexnet.train.fingerprint import CODE
from stages import paths

ROOT = Path(__file__).parents[2]
STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
GRAPH = grimp.build_graph("alexnet", "stages", "workflow", cache_dir=None, exclude_type_checking_imports=True)

WITHOUT_A_TRACE = {
    "alexnet.config": "can only reject settings: what passes is what was read, see tests/config/test_settings.py",
    "alexnet.tracking": "writes to MLflow and to the terminal",
    "alexnet.errors": "ends a stage, which then has no outs",
    "alexnet.disk": "ends a stage, which then has no outs",
    "alexnet.home": "finds the user's files, whose hashes are in the outs",
    "alexnet.output": "prints lines",
    "alexnet.signals": "decides when a stage ends, if it is stopped",
    "alexnet.launcher": "says which rank a process is; the numbers do not depend on the ranks",
    "alexnet.names": "makes names fit for messages",
    "alexnet.nearest": "names what was meant in an error, which ends a stage",
    "stages.paths": "says where the outs are: DVC misses those that are elsewhere",
    "stages.command": "checks params.yaml and prints errors",
    "stages.provenance": "names the runs of MLflow",
    "workflow": "checks params.yaml, starts ranks, and runs after the stages",
}
"""What no byte of an out depends on, with the reason. The walk over the imports stops here."""

BUT = {
    "download": {"alexnet.names"},
    "report": {"alexnet.names", "alexnet.config.nets", "alexnet.config.sources"},
}
"""Modules of the above on which bytes of a stage do depend: the key by which an image is drawn; the words of the report."""

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


def file_of(module: str) -> Path:
    """The file of a module, from the repository's root."""
    path = Path(*module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def leaves_no_trace(module: str, stage: str) -> bool:
    listed = any(module == name or module.startswith(f"{name}.") for name in WITHOUT_A_TRACE)
    return listed and module not in BUT.get(stage, set())


def imports(module: str) -> set[str]:
    """The modules of ours that ``module`` imports, by a name that is put together too: ``import_module(f"package.{name}")``."""
    packages = re.findall(r"""import_module\(f["']([\w.]+)\.\{""", (ROOT / file_of(module)).read_text(encoding="utf-8"))
    by_name = {child for package in packages for child in GRAPH.find_children(package)}
    return GRAPH.find_modules_directly_imported_by(module) | by_name


@cache
def computing(stage: str) -> frozenset[Path]:
    """The files of ours that the outs of a stage are computed with, but for packages' files that hold nothing but words."""
    commands = set(re.findall(r"-m ((?:stages|workflow)\.\w+)", str(STAGES[stage]["cmd"])))
    assert f"stages.{stage}" in commands
    found, left = set[str](), commands
    while left := {module for module in left - found if not leaves_no_trace(module, stage)}:
        found |= left
        left = set[str]().union(*map(imports, left))
    packages = {module.rsplit(".", depth)[0] for module in found for depth in range(1, module.count(".") + 1)}
    packages -= {"alexnet", "stages"}  # its load is for users, no stage calls it; stages makes Ctrl-C quiet
    return frozenset(file_of(module) for module in found | packages if not only_words(file_of(module)))


def only_words(path: Path) -> bool:
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    return len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def code(stage: str) -> set[Path]:
    """The deps of a stage that are code of ours."""
    return {Path(dep) for dep in STAGES[stage]["deps"]} - DATA[stage] - {Path("requirements.txt")}


def covers(dep: Path, path: Path) -> bool:
    return dep == path or dep in path.parents


def leaves(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_every_file_that_a_stage_computes_with_and_no_other(stage: str) -> None:
    assert "requirements.txt" in STAGES[stage]["deps"]
    assert {path for path in computing(stage) if not any(covers(dep, path) for dep in code(stage))} == set()
    assert {dep for dep in code(stage) if not any(covers(dep, path) for path in computing(stage))} == set()


def test_nets_and_sources_count_though_they_are_imported_by_a_name_that_is_put_together() -> None:
    assert {Path(f"alexnet/sources/{name}.py") for name in SOURCES} <= computing("download")
    assert {Path(f"alexnet/models/nets/{name.replace('-', '_')}.py") for name in NETS} <= computing("train")


def test_what_leaves_no_trace_is_there_and_imported() -> None:
    imported = set[str]().union(*(GRAPH.find_upstream_modules(f"stages.{stage}") for stage in STAGES)) | {"workflow.check"}
    assert [name for name in WITHOUT_A_TRACE if not any(f"{module}.".startswith(f"{name}.") for module in imported)] == []
    assert [name for names in BUT.values() for name in names if name not in imported] == []


def test_no_stage_runs_again_because_other_settings_became_legal() -> None:
    deps = {(stage, dep) for stage in STAGES for dep in STAGES[stage]["deps"] if dep.startswith("alexnet/config")}
    assert deps == {("report", "alexnet/config/nets.py"), ("report", "alexnet/config/sources.py")}


def test_a_checkpoint_is_resumed_only_by_the_code_that_train_depends_on() -> None:
    packages = {dep for dep in STAGES["train"]["deps"] if dep.startswith("alexnet/") and (ROOT / dep).is_dir()}
    assert {f"alexnet/{name}" for name in CODE} == packages


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
def test_params_are_the_keys_that_a_stages_section_names_but_those_of_the_machine(stage: str) -> None:
    module = importlib.import_module(f"stages.{stage}")
    section = getattr(module, "Params", None)
    named = [name for name in leaves(section) if not name.startswith("machine.")] if section else []
    assert sorted(STAGES[stage].get("params", [])) == sorted(named)


def test_params_yaml_holds_every_setting(shipped: Any) -> None:
    def keys(mapping: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for name, value in mapping.items():
            yield from keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]

    assert sorted(keys(shipped())) == sorted(leaves(Settings))


def test_a_stage_reads_every_key_that_its_section_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are declared but not read would make DVC run a stage again for nothing. Those of the machine do not."""
    read: set[str] = set()
    read_by_any: set[str] = set()
    get, dump = Section.__getattribute__, Section.model_dump

    def note(section: type[Section], name: str) -> None:
        read.update(f"{base.__name__}.{name}" for base in section.__mro__ if issubclass(base, Section))

    def recording(self: Section, name: str) -> Any:
        if name in type(self).model_fields:
            note(type(self), name)
        return get(self, name)

    def dumped(self: Section, **options: Any) -> dict[str, Any]:
        """All settings as a mapping. To write all of them, into the card, is not to read them."""
        section = type(self)

        class Recording(dict[str, Any]):
            def __getitem__(self, name: str) -> Any:
                note(section, name)
                return super().__getitem__(name)

        return Recording(dump(self, **options))

    few = {"data.source": "digits", "data.limit": 10, "data.blends": 1, "batch_size": 5, "epochs": 2, "lr_schedule": "plateau"}
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
            patch.setattr(Section, "model_dump", dumped)
            module.main(settings)
        assert {name for name in named(section) if not name.startswith("Machine.")} - read <= ELSEWHERE, stage
        read_by_any |= read
    assert set(named(Machine)) - BY_THE_LAUNCHER <= read_by_any
    assert os.listdir(tmp_path / "models")


BY_THE_LAUNCHER = {"Machine.nodes", "Machine.address"}
"""Read by workflow/torchrun.py, which starts the ranks."""
ELSEWHERE = {"Source.root", "Source.name", "Pipeline.cuts", "Pipeline.schedule", "Training.lr_milestones", "Training.lr_step"}
"""Read by other sources and schedules, and where there are several ranks; this test's training has one."""


def named(section: type[Section]) -> Iterator[str]:
    """Each setting by the section that declares it."""
    for name, field in section.model_fields.items():
        yield f"{next(base for base in section.__mro__ if name in base.__annotations__).__name__}.{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from named(field.annotation)
