"""A signal ends a command even where Python drops the exception of its handler."""

import os
import signal
import subprocess
import sys

import pytest
from helpers.staged import ROOT

DROPPED = """
import {package}, os, signal, sys, time

class Struck:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0)

signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
Struck()
time.sleep(60)
"""

TORCHRUNS = """
import workflow, os, signal, time
from torch.distributed.elastic.multiprocessing.api import _terminate_process_handler

class Struck:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)

signal.signal(signal.SIGTERM, _terminate_process_handler)
try:
    Struck()
    time.sleep(60)
except BaseException as error:
    os._exit(error.sigval)
"""

ANOTHER = """
import stages

class Broken:
    def __del__(self):
        raise ValueError("another error")

Broken()
"""


def python(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)


@pytest.mark.parametrize("package", ["stages", "workflow"])
@pytest.mark.parametrize(
    ("name", "status", "said"), [("SIGTERM", 128 + signal.SIGTERM, ""), ("SIGINT", -signal.SIGINT, "interrupted\n")]
)
def test_a_signal_in_a_finalizer_ends_a_command(package: str, name: str, status: int, said: str) -> None:
    done = python(DROPPED.format(package=package, name=name))
    assert (done.returncode, done.stderr) == (status, said)


def test_torchruns_exception_in_a_finalizer_ends_it_too() -> None:
    done = python(TORCHRUNS)
    assert (done.returncode, done.stderr) == (signal.SIGTERM, "")


def test_another_error_in_a_finalizer_is_told() -> None:
    assert "ValueError: another error" in python(ANOTHER).stderr


def test_ctrl_c_lets_a_command_end_in_its_own_way() -> None:
    child = """
import time
try:
    print("begun", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)
    print("saved")
"""
    program = f"import sys; from alexnet.signals import run_to_its_end; run_to_its_end([sys.executable, '-c', {child!r}])"
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout and parent.stdout.readline() == "begun\n"
    os.killpg(parent.pid, signal.SIGINT)
    said, error = parent.communicate(timeout=60)
    assert said == "saved\n" and error.splitlines()[-1] == "KeyboardInterrupt"
