"""Reads a corpus with Grain, and continues where the last run stopped.

    python examples/grain_data.py out/corpus --state out/state.json
    python examples/grain_data.py out/corpus --state out/state.json

Prints the shapes of a batch and the pace. docs/reading.md explains the order.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import grain
import numpy as np

from pipeline.reader import Batches, Corpus


class Rows:
    """A process's rows of the batch of every step: a data source of Grain.

    Args:
        batches: what to read.
        process: the number of this process, `jax.process_index()`.
        processes: processes that share each batch, `jax.process_count()`; its size is a multiple of them.
    """

    def __init__(self, batches: Batches, process: int, processes: int) -> None:
        if batches.batch_size % processes:
            raise ValueError(f"Batches of {batches.batch_size} examples cannot be divided among {processes} processes")
        self.batches = batches
        self.part = (process, processes)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        return self.batches.read(step, self.batches.slots(step).part(*self.part))


def dataset(batches: Batches, *, process: int = 0, processes: int = 1, threads: int = 2) -> grain.IterDataset:
    """A dataset of batches: int32 and float32 arrays `[batch_size / processes, length]`.

    It needs no `shuffle`, as the batches are shuffled already, and no `repeat`, which would give each epoch the same
    order: `Corpus.batches(..., epochs=3)` shuffles each anew.
    """
    source = grain.MapDataset.source(Rows(batches, process, processes))
    # A few batches ahead are enough. Threads read at the same time: the reader's loops are compiled.
    return source.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads))


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a corpus with Grain.")
    parser.add_argument("corpus", help="the directory of a corpus")
    parser.add_argument("--batch-size", type=int, default=256, help="examples per batch, over all processes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order")
    parser.add_argument("--steps", type=int, default=500, help="steps to read")
    parser.add_argument("--threads", type=int, default=2, help="threads that read")
    parser.add_argument("--process", type=int, default=0, help="the number of this process")
    parser.add_argument("--processes", type=int, default=1, help="processes that share each batch")
    parser.add_argument("--state", type=Path, help="file of the iterator's state: continued from, and written")
    arguments = parser.parse_args()

    batches = Corpus(arguments.corpus).batches(arguments.batch_size, seed=arguments.seed, trim=True)
    parts = {"process": arguments.process, "processes": arguments.processes}
    iterator = iter(dataset(batches, **parts, threads=arguments.threads))
    if arguments.state and arguments.state.exists():
        iterator.set_state(json.loads(arguments.state.read_text()))
    print(f"An epoch has {len(batches):,} steps; reading from {iterator.get_state()}")
    first = next(iterator, None)
    if first is None:
        raise SystemExit("The epoch was read to its end; remove the state's file to begin again")
    for name, array in first.items():
        print(f"{name:22} {array.dtype} {list(array.shape)}")
    examples, begin = 0, time.perf_counter()
    for batch in itertools.islice(iterator, arguments.steps - 1):
        examples += len(batch["input_word_ids"])  # Here a model would be trained.
    print(f"{examples / (time.perf_counter() - begin):,.0f} examples/s")
    if arguments.state:
        arguments.state.write_text(json.dumps(iterator.get_state()))


if __name__ == "__main__":
    main()
