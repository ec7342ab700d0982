"""bfloat16 is refused where it would be emulated, and nowhere else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.staged import ROOT, params_text

from alexnet.config.processor import has_bfloat16, may_have_gpu, refuse_emulation
from alexnet.errors import UserError

HIDDEN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "CUDA_VISIBLE_DEVICES": ""}
"""Variables that hide bfloat16 instructions and GPUs."""


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("cpuinfo", "supported"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\nmodel name\t: bf16\n", False),
    ],
)
def test_bfloat16_support_is_read_from_the_processors_flags(tmp_path: Path, cpuinfo: str, supported: bool) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert has_bfloat16(tmp_path / "cpuinfo") == supported
    assert not has_bfloat16(tmp_path / "missing")


@pytest.mark.parametrize(
    ("limit", "supported"), [("AVX2", False), ("avx512_core", False), ("AVX512_CORE_BF16", True), ("ALL", True)]
)
def test_instructions_that_onednn_may_not_use_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, supported: bool
) -> None:
    (tmp_path / "cpuinfo").write_text("flags\t\t: avx512_bf16\n")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert has_bfloat16(tmp_path / "cpuinfo") == supported


@pytest.mark.parametrize("device", ["nvidia0", "dxg"])
def test_a_gpu_lets_bfloat16_pass_until_the_training_asks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    (tmp_path / "nvidiactl").touch()
    assert not may_have_gpu(tmp_path)
    (tmp_path / device).touch()
    assert may_have_gpu(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not may_have_gpu(tmp_path)


def test_only_bfloat16_without_instructions_is_refused() -> None:
    refuse_emulation("bfloat16", supported=True)
    refuse_emulation("float32", supported=False)
    with pytest.raises(UserError, match=r"^params.yaml: precision: bfloat16 is not supported here: .* set precision: float32$"):
        refuse_emulation("bfloat16", supported=False)


@pytest.mark.parametrize("module", ["stages.download", "stages.pca", "stages.preprocess", "workflow.check", "stages.train"])
def test_every_stage_up_to_the_training_refuses_it_in_one_line(module: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(re.sub("(?m)^precision:.*", "precision: bfloat16", params_text()))
    program = (
        "import atexit, runpy, sys; atexit.register(lambda: print('torch' in sys.modules));"
        f"runpy.run_module('{module}', run_name='__main__')"
    )
    environment = os.environ | HIDDEN | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "False\n"), done.stderr
    assert done.stderr.startswith("error: params.yaml: precision: bfloat16 is not supported here: ")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
