"""Predicts corpus jobs of any size from what is measured here: `make scaling` prints the table of docs/scaling.md.

Measured are the time of a core and the memory of a worker for each byte of text, the bytes that come of it, and the
size of a manifest's entries; the number of blocks and shards follows from the plan's own rules.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator

from pipeline.beam.block import LARGEST_PART
from pipeline.beam.config import CorpusConfig
from pipeline.beam.corpus import make_corpus
from pipeline.inspection.estimate import Estimate, estimate_corpus
from pipeline.text.plan import default_block_bytes

SIZES = {"1 GB": (10**9, 8), "100 GB": (10**11, 64), "10 TB": (10**13, 1000)}  # With how many workers.
_SMALL, _LARGE = 1 << 21, 1 << 23
_PLANNING_SECONDS = 35e-6  # A file; tests/beam/test_scale.py plans a million.


@dataclasses.dataclass(frozen=True)
class Constants:
    """What is measured here.

    Attributes:
        bytes_per_second: of text, by one core.
        shard_bytes: of shards, for each byte of text.
        worker_bytes: of memory that a worker takes before it has text.
        bytes_per_byte: of memory that each byte of a block, or of a part of a large one, takes besides.
        shard_entry: bytes of a manifest for each shard.
        sidecar: bytes that a finished block leaves until the manifest is written.
    """

    bytes_per_second: float
    shard_bytes: float
    worker_bytes: float
    bytes_per_byte: float
    shard_entry: float
    sidecar: float


def measure(text: str, vocab: str) -> Constants:
    """Measures the constants on a text of at least 8 MiB."""

    def estimate(block_bytes: int) -> Estimate:
        return estimate_corpus(config("unused", block_bytes), sample_bytes=_LARGE)

    def config(output: str, block_bytes: int) -> CorpusConfig:
        return CorpusConfig(input=(text,), vocab=vocab, output=output, block_bytes=block_bytes)

    small, large = estimate(_SMALL), estimate(_LARGE)
    slope = (large.worker_bytes - small.worker_bytes) / (_LARGE - _SMALL)
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_corpus(config(folder, 1 << 20), show_progress=False)
    entries = [len(json.dumps(dataclasses.asdict(shard), indent=1)) + 40 for shard in manifest.shards]  # Its indents.
    return Constants(
        bytes_per_second=large.input_bytes / large.seconds,
        shard_bytes=large.totals["bytes"] / large.input_bytes,
        worker_bytes=small.worker_bytes - slope * _SMALL,
        bytes_per_byte=slope,
        shard_entry=sum(entries) / len(entries),
        sidecar=2 * sum(entries) / len(entries) + 1500,  # Two shards, and what was counted.
    )


def rows(constants: Constants) -> Iterator[tuple[str, ...]]:
    """The table's rows, its head first."""
    yield ("", *SIZES)
    totals = [total for total, _ in SIZES.values()]
    blocks = [-(-total // default_block_bytes(total)) for total in totals]
    yield ("block", *(size(default_block_bytes(total)) for total in totals))
    yield ("blocks", *(f"{number:,}" for number in blocks))
    yield ("shards (train and validation)", *(f"{2 * number:,}" for number in blocks))
    yield ("shards' bytes in all", *(size(total * constants.shard_bytes) for total in totals))
    yield ("a training shard", *(size(t * constants.shard_bytes / b) for t, b in zip(totals, blocks, strict=True)))
    yield ("hours of one core", *(f"{total / constants.bytes_per_second / 3600:,.2g}" for total in totals))
    yield ("workers", *(f"{workers:,}" for _, workers in SIZES.values()))
    times = []
    for (total, workers), number in zip(SIZES.values(), blocks, strict=True):
        rounds = -(-number // workers)
        times.append(rounds * total / number / constants.bytes_per_second)
    yield ("time with them", *(duration(seconds) for seconds in times))
    parts = [min(default_block_bytes(total), LARGEST_PART) for total in totals]
    yield ("memory of a worker", *(size(constants.worker_bytes + constants.bytes_per_byte * part) for part in parts))
    yield ("manifest", *(size(2 * number * constants.shard_entry) for number in blocks))
    yield ("work folder, while it runs", *(size(number * constants.sidecar) for number in blocks))
    yield ("planning a file of 10 MB each", *(duration(total / 1e7 * _PLANNING_SECONDS) for total in totals))


def size(number: float) -> str:
    """Bytes, readable."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def duration(seconds: float) -> str:
    """A time, readable."""
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
