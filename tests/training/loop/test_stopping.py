"""Signals during training: answered at once, also while TensorFlow computes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# In the place of a step in C++, in which Python calls no handler: the main thread waits for a lock.
WAITS = """
import ctypes, os, sys
from pipeline.training.loop.stopping import StopRequest
with StopRequest() as stop:
    print("begun", flush=True)
    for _ in range({repeats}):
        ctypes.CDLL(None).sleep({seconds})  # Interrupted by a signal, as a step is not: hence again.
print(stop.signal.name if stop else "none", flush=True)
"""


def start(repeats: int, seconds: int) -> subprocess.Popen[str]:
    script = WAITS.format(repeats=repeats, seconds=seconds)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_answered_and_noted(number: signal.Signals) -> None:
    process = start(2, 1)
    process.send_signal(number)
    assert process.stderr is not None
    assert process.stderr.readline() == (
        f"{number.name}: stopping after the current steps, with a checkpoint"
        " (a second signal stops immediately, without one)\n"
    )
    shown, errors = process.communicate()
    assert (process.returncode, shown, errors) == (0, f"{number.name}\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_stops_at_once(number: signal.Signals) -> None:
    process = start(1000, 1000)
    assert process.stderr is not None
    process.send_signal(number)
    process.stderr.readline()
    process.send_signal(number)
    shown, errors = process.communicate()
    assert process.returncode == 128 + number
    assert shown == ""
    assert errors == f"{number.name}: stopped immediately; the same command continues from the last checkpoint\n"
