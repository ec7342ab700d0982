"""Models in MLflow's registry, in a real store."""

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from helpers.cards import card_of

from alexnet.files.card import Card
from alexnet.tracking.client import Store, named_results
from alexnet.tracking.registry import champion

WEIGHTS = b"weights"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The main repository, with a model."""
    root = tmp_path_factory.mktemp("registry")
    (root / "alexnet.safetensors").write_bytes(WEIGHTS)
    return root


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    """Its store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return Store(root)


def card(source: str = "digits", test: str = "a") -> Card:
    images = {"train": 30, "val": 3, "test": 9}
    sha256 = {"train": 64 * "c", "val": 64 * "d", "test": 64 * test}
    return card_of(data={"source": source, "images": images, "rejects": 0, "sha256": sha256})


def trained(store: Store, root: Path, error: float | None, card: Card) -> Any:
    """The run of a model with this test error, as the stages send it."""
    card.write(root / "alexnet.json")
    run = store.create("run", {})
    for split in ("train", "test"):
        run.registry.data(card.data.model_dump(), split)
    run.registry.log(root / "alexnet.safetensors", root / "alexnet.json", card.model_dump(), b"picture")
    if error is not None:
        run.registry.evaluated(error)
    return run


def holder(run: Any, alias: str) -> str:
    """The run whose version has the alias."""
    found: str = run._client.get_model_version_by_alias("alexnet", alias).run_id
    return found


def test_the_alias_goes_to_the_least_error_on_the_same_test_images(store: Store, root: Path) -> None:
    first = trained(store, root, 0.3, card())
    assert holder(first, "champion-digits") == first._id
    better = trained(store, root, 0.1, card())
    assert holder(first, "champion-digits") == better._id
    for worse in (0.2, 0.1, None):
        trained(store, root, worse, card())
        assert holder(first, "champion-digits") == better._id
    other = trained(store, root, 0.5, card("torchvision/Flowers102", test="b"))
    assert holder(first, "champion-torchvision-Flowers102") == other._id
    assert holder(first, "champion-digits") == better._id
    changed = trained(store, root, 0.9, card(test="e"))
    assert holder(first, "champion-digits") == changed._id  # errors on other test images do not compare


@pytest.mark.parametrize("source", ["digits", "torchvision/Flowers102", "imagenet", "folder"])
def test_an_alias_has_only_characters_that_mlflow_allows(source: str, store: Store, root: Path) -> None:
    run = trained(store, root, 0.5, card(source, test="f"))
    assert holder(run, champion(source)) == run._id


def test_sending_a_model_again_adds_no_version_and_no_file(store: Store, root: Path) -> None:
    run = trained(store, root, None, card())
    before = run.registry.version.version, sorted((root / "mlruns").rglob("*"))
    run.registry.log(root / "alexnet.safetensors", root / "alexnet.json", card().model_dump())
    assert (run.registry.version.version, sorted((root / "mlruns").rglob("*"))) == before


def test_a_model_whose_sending_was_cut_off_is_completed(store: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.create("cut off", {})
    card().write(root / "alexnet.json")
    files = root / "alexnet.safetensors", root / "alexnet.json", card().model_dump()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(run._client, "finalize_logged_model", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
        run.registry.log(*files)
    run.registry.log(*files)
    version = run.registry.version
    assert version
    (model,) = run._client.search_logged_models([run._run.info.experiment_id], f"source_run_id = '{run._id}'")
    assert (str(model.status), version.run_id) == ("READY", run._id)
    assert (Path(model.artifact_location.removeprefix("file://")) / "data/alexnet.safetensors").read_bytes() == WEIGHTS


def test_a_run_names_its_images_and_its_model_for_the_ui(store: Store, root: Path) -> None:
    run = trained(store, root, None, card("torchvision/DTD"))
    found = run._client.get_run(run._id)
    data = {item.tags[0].value: item.dataset for item in found.inputs.dataset_inputs}
    assert {context: (set_.name, set_.digest) for context, set_ in data.items()} == {
        "training": ("torchvision/DTD", 16 * "c"),
        "evaluation": ("torchvision/DTD", 16 * "a"),
    }
    assert 64 * "c" in data["training"].source
    (model,) = found.outputs.model_outputs
    assert model.model_id in run.registry.version.source
    experiment = run._client.get_experiment(found.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_the_page_of_the_runs_shows_a_saved_view_with_the_four_errors(store: Store, root: Path) -> None:
    run = store.create("viewed", {})
    tags = run._client.get_experiment(run._run.info.experiment_id).tags
    query = parse_qs(store.page.partition("?")[2])
    view = json.loads(tags[f"mlflow.sharedViewState.{query['viewStateShareKey'][0]}"])
    state = json.loads(view["state"])
    logged = named_results({crops: {"top1_error": 0.1, "top5_error": 0.0, "loss": 1.0} for crops in ("center", "ten_crop")})
    errors = {f"metrics.`{name}`" for name in logged if name.endswith("_error")}
    assert len(errors) == 4
    assert set(state["selectedColumns"]) == set(state["columnOrder"]) == state["columnWidths"].keys() == errors
    assert state["orderByKey"] in errors


def test_models_follow_a_repository_that_was_moved(store: Store, root: Path, tmp_path: Path) -> None:
    run = trained(store, root, 0.01, card("folder", test="9"))
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        there = next(found for found in Store(moved).runs({}) if found._id == run._id)
    version = there.registry.version
    assert version
    address = there._client.get_model_version_download_uri("alexnet", version.version)
    assert address == version.source
    assert address.startswith((moved / "mlruns").as_uri())
    (model,) = there._client.search_logged_models([there._run.info.experiment_id], f"source_run_id = '{run._id}'")
    assert model.artifact_location == address
