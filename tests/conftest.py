"""What the tests of several packages share: params.yaml, a small set of shards, and two ranks."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import properties as properties
from helpers import staged

# A shell starts what it runs in the background deaf to Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["helpers.pictures", "helpers.asked", "helpers.small_disk"]

TESTS = Path(__file__).parent
APART = ("gpu", "services")
"""Folders whose tests run only with ``-m`` and their name."""
LONGEST = ("test_workflow.py", "test_recipe.py", "test_odd_names.py")


def pytest_configure(config: pytest.Config) -> None:
    """The tests of GPUs run alone, with ``-m gpu``; the others see none, wherever they run.

    What starts the tests changes none: a make with -j, one of git's hooks, a proxy, or commits that are to be signed.
    """
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    for name in [*os.environ]:
        if name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE") or name.startswith("MAKE"):
            del os.environ[name]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
    given = int(os.environ.get("GIT_CONFIG_COUNT", 0))
    unsigned = {"COUNT": str(given + 1), f"KEY_{given}": "commit.gpgsign", f"VALUE_{given}": "false"}
    os.environ |= {f"GIT_CONFIG_{name}": value for name, value in unsigned.items()}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m gpu`` load its tests alone, which need neither DVC nor MLflow; with ``-m services`` its own."""
    asked = config.option.markexpr
    if asked in APART:
        wanted = TESTS / asked
        return None if collection_path.is_relative_to(wanted) or wanted.is_relative_to(collection_path) else True
    return True if any(collection_path.is_relative_to(TESTS / name) for name in APART) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that two processes end at about the same time."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: leave it out of the search for garbage."""
    gc.freeze()


@pytest.fixture(scope="session")
def shipped() -> Callable[[], dict[str, Any]]:
    """The settings of the staged params.yaml, anew at each call."""
    return staged.params


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, shipped: Callable[[], dict[str, Any]]) -> Path:
    """A working directory in which download, pca and preprocess have run on a few digits a split."""
    return prepared(tmp_path_factory.mktemp("small"), shipped())


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory, shipped: Callable[[], dict[str, Any]]) -> Path:
    """The same with ten images a split, one of each digit, for the large nets."""
    return prepared(tmp_path_factory.mktemp("few"), shipped(), limit=10)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, shipped: Callable[[], dict[str, Any]]) -> Path:
    """The same with squares of 32 pixels."""
    params = shipped()
    params["preprocess"]["size"] = 32
    return prepared(tmp_path_factory.mktemp("tiny"), params)


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory, shipped: Callable[[], dict[str, Any]]) -> Path:
    """The same with 17 images a split, so that the last batch of eight has one."""
    params = shipped()
    params["preprocess"]["size"] = 32
    return prepared(tmp_path_factory.mktemp("odd"), params, limit=17)


def prepared(folder: Path, params: dict[str, Any], limit: int = 20) -> Path:
    from stages import download, pca, preprocess

    params["data"] |= {"source": "digits", "limit": limit, "blends": 1}
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
    from helpers.ranks import Pair

    pair = Pair(tmp_path_factory.mktemp("pair"))
    yield pair
    pair.close()
