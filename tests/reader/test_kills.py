"""Input pipelines in processes of their own, killed at random steps and restarted on another number of processes."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset

pytestmark = pytest.mark.slow
Make = Callable[..., str]
ROOT = Path(__file__).parents[2]
BATCH, STEPS = 48, 200  # Of 4,204 examples: more than two epochs.

# Writes the bytes of its part of each step's batch, as a line, until it is killed.
PIPELINE = """
import json, sys, time
import tensorflow as tf
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset

directory, pipelines, index, first, batch, output = json.loads(sys.argv[1])
config = DataConfig(input_path=directory, global_batch_size=batch, is_training=True, seed=3, trim=False)
context = tf.distribute.InputContext(pipelines, index, pipelines)
dataset = build_dataset(config, context, start_example=batch * first)
with open(output, "a") as stream:
    for step, part in enumerate(dataset.as_numpy_iterator(), first):
        columns = {name: part[name].tobytes().hex() for name in sorted(part)}
        stream.write(json.dumps([step, index, pipelines, columns]) + "\\n")
        stream.flush()
        time.sleep(0.01)
"""


def run_until_killed(directory: str, pipelines: int, first: int, folder: Path, steps: int) -> int:
    """Runs pipelines until each has made at least some steps; kills them all. Returns the first step to make again."""
    outputs = [folder / f"{first}-{pipelines}-{index}.jsonl" for index in range(pipelines)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PIPELINE, json.dumps([directory, pipelines, index, first, BATCH, str(output)])],
            cwd=ROOT,
        )
        for index, output in enumerate(outputs)
    ]
    end = time.monotonic() + 240

    def made() -> int:
        return min(output.read_bytes().count(b"\n") if output.exists() else 0 for output in outputs)

    while made() < steps:
        assert time.monotonic() < end
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.wait()
    return first + made()


def test_kills_change_no_batch(numbered: Make, tmp_path: Path) -> None:
    directory = numbered("binned dynamic gzip")
    config = DataConfig(input_path=directory, global_batch_size=BATCH, is_training=True, seed=3, trim=False)
    whole = list(itertools.islice(build_dataset(config).as_numpy_iterator(), STEPS + 60))
    draw = random.Random(1)
    first, runs = 0, 0
    while first < STEPS:
        pipelines = [1, 3, 2, 8][runs % 4]
        first = run_until_killed(directory, pipelines, first, tmp_path, draw.randint(10, 60))
        runs += 1
    assert runs >= 3
    parts: dict[int, dict[int, dict[int, dict[str, str]]]] = defaultdict(lambda: defaultdict(dict))
    for path in tmp_path.glob("*.jsonl"):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                step, index, pipelines, columns = json.loads(line)
                parts[step][pipelines][index] = columns
    for step in range(STEPS):
        complete = [by_index for pipelines, by_index in parts[step].items() if len(by_index) == pipelines]
        assert complete
        for by_index in complete:
            for name, column in whole[step].items():
                found = bytes.fromhex("".join(by_index[index][name] for index in sorted(by_index)))
                np.testing.assert_array_equal(np.frombuffer(found, column.dtype), column.reshape(-1))
