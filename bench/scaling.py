"""Predicts corpus jobs of any size from measurements: `make scaling` prints the table of docs/scaling.md.

Measures the time of one core and the bytes of shards per byte of text, the memory per worker, and the size of a
manifest's entries. The number of blocks and shards follows from the rules of the plan.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.parts import PART_CHARACTERS
from pipeline.inspection.estimate import estimate_corpus
from pipeline.manifest import read_manifest
from pipeline.text.reading.plan import default_block_bytes

SIZES = {"1 GB": (10**9, 8), "100 GB": (10**11, 64), "10 TB": (10**13, 1000)}  # Bytes of text, and workers.
_PLANNING_SECONDS = 35e-6  # Per file; tests/beam/test_scale.py plans a million.


@dataclasses.dataclass(frozen=True)
class Constants:
    """The measured constants.

    Attributes:
        bytes_per_second: bytes of text that one core processes per second.
        shard_bytes: bytes of shards per byte of text.
        worker_bytes: peak memory of a worker, which processes a part of a block at a time, whatever the block's size.
        shard_entry: bytes of a manifest per shard.
        sidecar: bytes that a finished block keeps in the work folder until the manifest is written.
    """

    bytes_per_second: float
    shard_bytes: float
    worker_bytes: float
    shard_entry: float
    sidecar: float


def measure(text: str, vocab: str) -> Constants:
    """Measures the constants on a text of a few megabytes."""
    config = CorpusConfig(input=(text,), vocab=vocab, output="unused", block_bytes=PART_CHARACTERS)
    estimate = estimate_corpus(config)
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "corpus")
        worker_bytes = peak_memory(text, vocab, output, block_bytes=PART_CHARACTERS)
        shards = read_manifest(output).shards
    entry = statistics.mean(len(json.dumps(dataclasses.asdict(shard), indent=1)) + 40 for shard in shards)  # Indented.
    return Constants(
        bytes_per_second=estimate.input_bytes / estimate.seconds,
        shard_bytes=estimate.totals["bytes"] / estimate.input_bytes,
        worker_bytes=worker_bytes,
        shard_entry=entry,
        sidecar=2 * entry + 1500,  # Two shards, and the counts.
    )


def peak_memory(text: str, vocab: str, output: str, *, block_bytes: int) -> int:
    """Makes a corpus in one process; returns its peak memory, in bytes."""
    command = [sys.executable, "-m", "pipeline", "corpus", "--input", text, "--vocab", vocab, "--output", output]
    command += ["--block-bytes", str(block_bytes), "--workers", "1", "--no-progress"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("The corpus could not be made")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def rows(constants: Constants) -> Iterator[tuple[str, ...]]:
    """Yields the rows of the table, the header first."""
    yield ("", *SIZES)
    totals = [total for total, _ in SIZES.values()]
    blocks = [-(-total // default_block_bytes(total)) for total in totals]
    yield ("block", *(size(default_block_bytes(total)) for total in totals))
    yield ("blocks", *(f"{number:,}" for number in blocks))
    yield ("shards (train and validation)", *(f"{2 * number:,}" for number in blocks))
    yield ("size of all shards", *(size(total * constants.shard_bytes) for total in totals))
    yield (
        "size of a training shard",
        *(size(t * constants.shard_bytes / b) for t, b in zip(totals, blocks, strict=True)),
    )
    hours = [total / constants.bytes_per_second / 3600 for total in totals]
    yield ("hours of one core", *(f"{number:,.0f}" if number > 10 else f"{number:.2f}" for number in hours))
    yield ("workers", *(f"{workers:,}" for _, workers in SIZES.values()))
    times = []
    for (total, workers), number in zip(SIZES.values(), blocks, strict=True):
        rounds = -(-number // workers)
        times.append(rounds * total / number / constants.bytes_per_second)
    yield ("time with these workers", *(duration(seconds) for seconds in times))
    yield ("memory per worker", *[size(constants.worker_bytes)] * len(totals))
    yield ("manifest", *(size(2 * number * constants.shard_entry) for number in blocks))
    yield ("work folder, while it runs", *(size(number * constants.sidecar) for number in blocks))
    yield ("planning, with files of 10 MB", *(duration(total / 1e7 * _PLANNING_SECONDS) for total in totals))


def size(number: float) -> str:
    """Formats bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def duration(seconds: float) -> str:
    """Formats a time."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def main() -> None:
    constants = measure(*sys.argv[1:3])
    print({name: float(f"{value:.4g}") for name, value in dataclasses.asdict(constants).items()}, file=sys.stderr)
    head, *body = rows(constants)
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in body:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
