"""Iterators that become garbage while their datasets are read."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

SCRIPT = """
import gc, sys, time
from pipeline.reader.stages import StagedBatches
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset

read = StagedBatches.read

reading = []

def slow_read(*arguments):
    reading.append(None)
    time.sleep(0.3)  # Meanwhile, the iterator becomes garbage,
    kept = [[] for _ in range(10_000)]  # and Python collects where so much is made.
    columns = read(*arguments)
    reading.pop()
    return columns

StagedBatches.read = slow_read
for _ in range(3):
    iterator = iter(build_dataset(DataConfig(input_path=sys.argv[1], global_batch_size=4, is_training=True)))
    next(iterator)
    cycle = [iterator]
    cycle.append(cycle)
    del iterator, cycle
    time.sleep(1)
end = time.monotonic() + 20
while reading and time.monotonic() < end:
    time.sleep(0.1)
print("still reading:", len(reading))
"""


def test_a_dataset_and_the_collection_of_its_iterator_do_not_wait_for_each_other(tiny_corpus: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_corpus.directory)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "still reading: 0", done.stderr


FORKING = """
import gc, os, time, weakref
from pipeline.training.data.garbage import collect_in_own_thread


class Node:
    pass


collect_in_own_thread()
collect_in_own_thread()
assert not gc.isenabled()
process = os.fork()
if not process:
    os._exit(0 if gc.isenabled() else 1)  # Its own collection, as the thread is not there.
assert os.waitpid(process, 0)[1] == 0
node = Node()
node.itself = node
found = weakref.ref(node)
del node
end = time.monotonic() + 60
while found() is not None and time.monotonic() < end:
    kept = [[] for _ in range(100_000)]
    time.sleep(0.05)
print("collected:", found() is None)
"""


def test_garbage_is_collected_and_processes_fork() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "collected: True", done.stderr
