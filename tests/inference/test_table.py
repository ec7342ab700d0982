"""Features in Parquet are the net's own, and ``similar`` finds the neighbours that scikit-learn finds."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.asked import CLASSES, Asked, save_model
from helpers.asking import ask
from PIL import Image
from sklearn.neighbors import NearestNeighbors

import alexnet


@pytest.fixture(scope="module")
def table(asked: Asked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "x.parquet"
    assert ask("features", asked.folder, "--layer", "fc7", "-o", path, "--model", asked.model) == 2  # one image is broken
    return path


def test_the_file_has_the_path_label_and_vector_of_each_image(asked: Asked, table: Path) -> None:
    found = pd.read_parquet(table)
    assert [Path(path) for path in found["path"]] == asked.images
    assert found["label"].tolist() == [CLASSES[label] for label in asked.labels]
    net = alexnet.load(asked.model).net
    pixels = np.stack([np.asarray(Image.open(image), np.float32) for image in asked.images])[:, 2:30, 2:30]
    inputs = torch.from_numpy((pixels - 100) / 60).permute(0, 3, 1, 2).contiguous()
    outputs: list[torch.Tensor] = []
    net.get_submodule("relu7").register_forward_hook(lambda layer, before, after: outputs.append(after))
    with torch.no_grad():
        net(inputs)
    np.testing.assert_allclose(np.stack(found["vector"].tolist()), outputs[0].numpy(), rtol=1e-3, atol=1e-4)


def test_similar_finds_what_scikit_learn_finds(asked: Asked, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queries = asked.images[::20]
    assert ask("similar", *queries, "--among", table, "-k", "3", "--json", "--model", asked.model) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = pd.read_parquet(table)
    vectors = np.stack(found["vector"].tolist()).astype(float)
    expected = NearestNeighbors(n_neighbors=3).fit(vectors).kneighbors(vectors[::20])
    for query, answer, distances, numbers in zip(queries, answers, *expected, strict=True):
        assert answer["file"] == str(query)
        assert [near["file"] for near in answer["nearest"]] == found["path"][numbers].tolist()
        assert [near["class"] for near in answer["nearest"]] == found["label"][numbers].tolist()
        assert [near["distance"] for near in answer["nearest"]] == pytest.approx(distances, abs=0.01)


def test_features_of_another_model_or_file_are_refused(
    asked: Asked, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "other.safetensors", seed=1)
    Path("text.parquet").write_text("text")
    image, model = asked.images[0], ("--model", asked.model)
    for arguments, message in (
        (("similar", image, "--among", table, "--model", "other.safetensors"), "x.parquet has the features of another model"),
        (
            ("similar", image, "--among", "text.parquet", *model),
            "text.parquet is not a file that `python -m alexnet features` wrote",
        ),
        (("similar", image, "--among", "none.parquet", *model), "none.parquet is missing; make it with"),
        (("similar", image, *model), "data/evaluation/nearest.json is missing; run `dvc repro`"),
        (("features", image, "-o", "x.csv", *model), "x.csv does not end in .parquet"),
        (("features", image, "-o", "x.parquet", "--layer", "fc9", *model), "there is no layer fc9; did you mean fc8?"),
    ):
        assert ask(*arguments) == 2
        assert message in capsys.readouterr().err
    assert not Path("x.parquet").exists()
