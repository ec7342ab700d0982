"""The measurements of the data layer run, and give a row for each peer."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import eigenbasis, loading, memory, preprocessing

pytestmark = pytest.mark.services

PEERS: dict[Callable[..., None], list[str]] = {
    eigenbasis.main: ["scikit-learn's IncrementalPCA"],
    loading.main: ["simplejpeg's bare decoding", "torchvision, ImageFolder without colour noise"],
    preprocessing.main: ["a plain Pillow script, one core", "one core of the same"],
    memory.main: ["20 images"],
}


@pytest.mark.parametrize("main", PEERS, ids=lambda main: main.__module__)
def test_a_measurement_gives_a_row_for_each_peer(
    main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    # What the measurements set for their own process.
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        sizes = ["--images", "200", "--only", "pca"] if main is memory.main else ["--images", "20"]
        main(["--rounds", "1", *sizes, "--json", str(tmp_path / "rows.json")])
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
    rows = json.loads((tmp_path / "rows.json").read_text())["comparisons"]
    assert len(capsys.readouterr().out.splitlines()) == len(rows) + 2
    expected = PEERS[main]
    # On one core there is no second one to compare with.
    assert [row["peer"] for row in rows] in (expected, expected[:1])
    assert all(math.isfinite(figure) and figure > 0 for row in rows for figure in row["ours"] + row["theirs"])
