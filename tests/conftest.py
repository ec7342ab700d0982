"""What several rooms' tests share: params.yaml, a small set of shards, and two ranks."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent

os.environ["CUDA_VISIBLE_DEVICES"] = ""
# A shell starts what it runs in the background deaf to Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shipped() -> Callable[[], dict[str, Any]]:
    """The content of params.yaml, anew at each call."""

    def read() -> dict[str, Any]:
        params: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
        return params

    return read


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, shipped: Callable[[], dict[str, Any]]) -> Path:
    """A working directory in which download, pca and preprocess have run on a few digits a split."""
    return prepared(tmp_path_factory.mktemp("small"), shipped())


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, shipped: Callable[[], dict[str, Any]]) -> Path:
    """The same with squares of 32 pixels."""
    params = shipped()
    params["preprocess"]["size"] = 32
    return prepared(tmp_path_factory.mktemp("tiny"), params)


def prepared(folder: Path, params: dict[str, Any]) -> Path:
    from stages import download, pca, preprocess

    params["data"] |= {"limit": 20, "blends": 1}
    here = Path.cwd()
    os.chdir(folder)
    try:
        for stage in (download, pca, preprocess):
            stage.main(stage.Params.read(params))
    finally:
        os.chdir(here)
    return folder


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two ranks on gloo."""
    from ranks import Pair

    pair = Pair(tmp_path_factory.mktemp("pair"))
    yield pair
    pair.close()
