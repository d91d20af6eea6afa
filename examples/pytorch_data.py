"""Reads a corpus with PyTorch's DataLoader.

    python examples/pytorch_data.py out/corpus --workers 2
    torchrun --nproc-per-node 2 examples/pytorch_data.py out/corpus --start 5000

Prints the shapes of a batch and the pace. docs/reading.md explains the order.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from pipeline.reader import Batches, Corpus


class Steps(Dataset[dict[str, np.ndarray]]):
    """The batch of every step, or a process's rows of it.

    Args:
        batches: what to read.
        rank: the number of this process.
        world_size: processes that share each batch; its size is a multiple of them.
    """

    def __init__(self, batches: Batches, rank: int = 0, world_size: int = 1) -> None:
        if batches.batch_size % world_size:
            raise ValueError(f"Batches of {batches.batch_size} examples cannot be divided among {world_size} processes")
        self.batches = batches
        self.part = (rank, world_size)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        return self.batches.read(step, self.batches.slots(step).part(*self.part))


def data_loader(
    batches: Batches, *, start: int = 0, rank: int = 0, world_size: int = 1, workers: int = 0
) -> DataLoader[dict[str, torch.Tensor]]:
    """Loads batches from step `start` on, as int32 and float32 tensors `[batch_size / world_size, length]`."""
    return DataLoader(
        Steps(batches, rank, world_size),
        batch_size=None,  # A step is a whole batch already.
        sampler=range(start, len(batches)),  # The batches are shuffled already.
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a corpus with PyTorch's DataLoader.")
    parser.add_argument("corpus", help="the directory of a corpus")
    parser.add_argument("--batch-size", type=int, default=256, help="examples per batch, over all processes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order")
    parser.add_argument("--start", type=int, default=0, help="first step; where a run stopped, to continue it")
    parser.add_argument("--steps", type=int, default=500, help="steps to read")
    parser.add_argument("--workers", type=int, default=0, help="processes that read for this one")
    arguments = parser.parse_args()

    batches = Corpus(arguments.corpus).batches(arguments.batch_size, seed=arguments.seed, trim=True)
    if not 0 <= arguments.start < len(batches):
        parser.error(f"--start must be one of the {len(batches):,} steps of an epoch, from 0 on")
    rank, world_size = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    loader = data_loader(batches, start=arguments.start, rank=rank, world_size=world_size, workers=arguments.workers)
    print(f"An epoch has {len(batches):,} steps; reading from step {arguments.start:,}")
    iterator = iter(loader)
    for name, tensor in next(iterator).items():  # Workers start here, which the pace leaves out.
        print(f"{name:22} {tensor.dtype} {list(tensor.shape)}")
    examples, begin = 0, time.perf_counter()
    for batch in itertools.islice(iterator, arguments.steps - 1):
        examples += len(batch["input_word_ids"])  # Here a model would be trained.
    print(f"{examples / (time.perf_counter() - begin):,.0f} examples/s")


if __name__ == "__main__":
    main()
