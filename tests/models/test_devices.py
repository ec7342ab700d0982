"""Whether there is a GPU that torch can use, asked of a driver and cards that are not there."""

from pathlib import Path

import pytest
import torch

from alexnet.errors import UserError
from alexnet.models.devices import card_names, computing_device, usable_gpus

CODES = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_120", "compute_120"]


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of devices with a card that nothing hides."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    return tmp_path


def cards(monkeypatch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> None:
    """Have torch find cards of these compute capabilities."""
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CODES)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: capabilities[number])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"Card {capabilities[number][0]}")


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 9), (9, 0), (12, 1), (13, 0)])
def test_a_card_that_torch_has_code_for_is_used(
    nvidia: Path, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    cards(monkeypatch, capability, (9, 0))
    assert usable_gpus(nvidia) == 2
    assert computing_device() == torch.device("cuda", 0)


@pytest.mark.parametrize("capability", [(6, 1), (7, 0), (10, 3), (11, 0)])
def test_a_card_that_torch_has_no_code_for_is_refused_by_its_name(
    nvidia: Path, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    cards(monkeypatch, (9, 0), capability)
    version = ".".join(map(str, capability))
    with pytest.raises(UserError, match=rf"^Card {capability[0]} cannot .* {version}, and torch .* sm_90, .* the CPU$"):
        usable_gpus(nvidia)


@pytest.mark.parametrize("chosen", [None, "7"])
def test_a_driver_that_does_not_work_is_refused_with_what_it_says(
    nvidia: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver")

    monkeypatch.setattr(torch.cuda, "init", init)
    if chosen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    with pytest.raises(UserError) as refusal:
        usable_gpus(nvidia)
    assert str(refusal.value) == (
        f"the GPU cannot be used: {'CUDA_VISIBLE_DEVICES=7: ' if chosen else ''}The NVIDIA driver on your system is too old "
        "(found version 12020); CUDA_VISIBLE_DEVICES= in front of the command uses the CPU"
    )


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_cards_and_none_leave_the_cpu(nvidia: Path, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    (nvidia / "nvidia0").rename(nvidia / "nvidia-uvm")
    assert usable_gpus(nvidia) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    cards(monkeypatch, (6, 1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert usable_gpus(nvidia) == 0
    assert computing_device() == torch.device("cpu")


def test_kinds_of_cards_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, (9, 0), (8, 0), (9, 0))
    assert card_names(torch.device("cuda", 1), 3) == ["Card 8", "Card 9"]
    assert card_names(torch.device("cuda", 0), 1) == ["Card 9"]
    assert card_names(torch.device("cpu"), 2) == []
