"""A registered model, served by MLflow and asked over loopback."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.cards import card_of
from helpers.nets import net_of
from PIL import Image

import alexnet
from alexnet.models.saved import save_weights
from alexnet.tracking.client import Store

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose registry has a model as champion."""
    root = tmp_path_factory.mktemp("serving")
    weights = {name: value.detach() for name, value in net_of("alexnet-32", crop_size=28).named_parameters()}
    sha256 = save_weights(root / "alexnet.safetensors", weights, 100 + 50 * torch.rand(3, 32, 32))
    data = {"source": "digits", "images": {"test": 9}, "rejects": 0, "sha256": {"test": 64 * "a"}}
    card = card_of(names=["Käse", *"123456789"], size=32, crop_size=28, flip=False, sha256=sha256, data=data)
    card.write(root / "alexnet.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run = Store(root).create("run", {})
    run.registry.log(root / "alexnet.safetensors", root / "alexnet.json", card.model_dump(), picture(1))
    run.registry.evaluated(0.5)
    return root


@pytest.fixture(scope="module")
def port(root: Path) -> Iterator[int]:
    """Where the champion is served, from a folder without this repository's code."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/alexnet@champion-digits"]
    command += ["--env-manager", "local", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 200
        while server.poll() is None and not answers(port):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert server.poll() is None, (root / "log").read_text()
        yield port
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping"):
            return True
    except OSError:
        return False


def picture(number: int) -> bytes:
    """A JPEG of some colours."""
    file = io.BytesIO()
    Image.effect_noise((40 + number, 40), 20 * number).convert("RGB").save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def ask(port: int) -> Callable[[Any], tuple[int, Any]]:
    """What posts a body and returns the status and the answer."""

    def post(body: Any) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.load(refusal)

    return post


def body_of(*payloads: bytes, **params: Any) -> dict[str, Any]:
    encoded = [[base64.b64encode(payload).decode()] for payload in payloads]
    return {"dataframe_split": {"columns": ["image"], "data": encoded}, "params": params}


def test_a_served_champion_answers_as_predict_does_and_refuses_what_is_no_image(
    root: Path, ask: Callable[[Any], tuple[int, Any]]
) -> None:
    model, payloads = alexnet.load(root / "alexnet.safetensors"), [picture(number) for number in (1, 2, 3)]
    cases: list[dict[str, Any]] = [{}, {"top": 2, "ten_crop": True}, {"top": 99}]
    for params in cases:
        status, answer = ask(body_of(*payloads, **params))
        assert status == 200
        for found, expected in zip(answer["predictions"], model.predict(payloads, **params), strict=True):
            assert found["classes"] == [guess.name for guess in expected]
            assert found["probabilities"] == pytest.approx([guess.probability for guess in expected], rel=1e-5)
    refusals = [
        (
            body_of(payloads[0], b"no image"),
            "image 1 cannot be read as an image (not a JPEG, PNG, WebP or BMP image); leave it out",
        ),
        (body_of(payloads[0], top=0), "top: 0 is not valid; it should be at least 1"),
    ]
    for body, said in refusals:
        status, answer = ask(body)
        assert (status, answer["message"]) == (400, said)
    status, _ = ask({"dataframe_split": {"columns": ["image"], "data": [["%%%"]]}})
    assert status == 400
    example = json.loads(next((root / "mlruns").rglob("serving_input_example.json")).read_text())
    assert ask(example)[0] == 200  # MLflow's page of the model shows this request
    assert not list((root / "mlruns").rglob("*.pkl"))
