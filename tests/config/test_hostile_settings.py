"""params.yaml made to mislead: each is refused in a line that can be read, and takes neither time nor memory."""

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.staged import params_text

from alexnet.config.check import check
from alexnet.config.section import MOST
from alexnet.errors import UserError
from stages.command import read_yaml

NUMBERS = ("lr", "momentum", "weight_decay", "bias_lr_mult", "lr_factor", "color_noise", "val_fraction", "checkpoint_minutes")
COUNTS = ("seed", "batch_size", "epochs", "threads", "workers", "crop_padding", "limit", "max_rejects", "blends", "ranks", "size")
MORE_COUNTS = ("quality", "lr_step", "lr_patience", "early_stop", "microbatches", "replicas")


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[str, str], str]:
    """The message about a params.yaml in which ``setting`` has a value, as it is written there."""

    def read(setting: str, value: str) -> str:
        text, found = re.subn(rf"(?m)^( *){setting}:.*$", lambda line: f"{line[1]}{setting}: {value}", params_text())
        assert found
        (tmp_path / "params.yaml").write_text(text)
        with pytest.raises(UserError) as refusal:
            check(read_yaml(tmp_path / "params.yaml"))
        for line in str(refusal.value).splitlines():
            assert len(line) < 600 and line.isprintable()
        return str(refusal.value)

    return read


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e400", f"1{'0' * 400}", f"{MOST + 1}.0"])
@pytest.mark.parametrize("setting", NUMBERS)
def test_no_number_is_infinite_or_vast(refused: Callable[[str, str], str], setting: str, value: str) -> None:
    assert f"{setting}: " in refused(setting, value)


@pytest.mark.parametrize("value", [".nan", "-1", str(2**62), f"1{'0' * 400}", "0x" + 50 * "f"])
@pytest.mark.parametrize("setting", COUNTS + MORE_COUNTS)
def test_no_count_is_vast(refused: Callable[[str, str], str], setting: str, value: str) -> None:
    assert f"{setting}: " in refused(setting, value)


def test_numbers_of_thousands_of_digits_are_refused(refused: Callable[[str, str], str]) -> None:
    assert "not valid YAML" in refused("seed", 5000 * "9")
    assert "seed: a int is not valid" in refused("seed", "0x" + 9000 * "f")


def test_a_value_is_shown_in_one_line_that_a_terminal_takes(refused: Callable[[str, str], str]) -> None:
    assert refused("model", '"a\\nb\\e[31m"').startswith(r"params.yaml: model: a\nb\x1b[31m is not valid: it should be")
    assert refused("model", 10**6 * "x").startswith(f"params.yaml: model: {199 * 'x'}… is not valid")
    assert refused("name", '"\\e[31m"').startswith(r"params.yaml: data.name: \x1b[31m is not valid with")


def test_a_list_of_a_billion_is_refused_without_being_written_out(refused: Callable[[str, str], str]) -> None:
    bomb = "[&a [x, x, x, x, x, x, x, x, x, x]"
    for name, of in zip("bcdefghi", "abcdefgh", strict=True):
        bomb += f", &{name} [{', '.join(10 * ['*' + of])}]"
    tracemalloc.start()
    try:
        assert refused("lr", f"{bomb}]").startswith("params.yaml: lr: [['x', 'x',")
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_lists_in_lists_without_end_are_refused(refused: Callable[[str, str], str]) -> None:
    assert refused("lr", 3000 * "[" + 3000 * "]").endswith("not valid YAML: nested too deeply; fix it")
    assert refused("lr", "&a [*a]").startswith("params.yaml: lr: [[[")


@pytest.mark.parametrize(
    "line", ["? [1, 2]\n: 3", f"? {'k' * 500}\n: 3", "2: 3", '"\\e[31m": 3', "!!python/object/apply:os.system [ls]"]
)
def test_keys_and_tags_that_no_setting_has_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "params.yaml").write_text(f"{params_text()}\n{line}\n")
    with pytest.raises(UserError) as refusal:
        check(read_yaml(tmp_path / "params.yaml"))
    assert len(str(refusal.value)) < 400 and str(refusal.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"\xff\xfe", b"- 1\n- 2\n", b"lr: [1", b"lr: !!binary a\n"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError):
        check(read_yaml(tmp_path / "params.yaml"))
