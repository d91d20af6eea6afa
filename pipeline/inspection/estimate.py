"""Estimates from a sample of the input what a corpus will hold, and the time and memory that making it takes."""

from __future__ import annotations

import dataclasses
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline import files
from pipeline.beam.corpus.block import BlockResult, build_block
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.job import CorpusJob, plan_corpus
from pipeline.beam.corpus.parts import PART_CHARACTERS, SPLITS
from pipeline.inspection.sampling import draw_sample, joined
from pipeline.inspection.tables import count, percent, size, table
from pipeline.text.reading.plan import Block

_RUNNER_SECONDS = 3.0  # For Beam to start and end.
_COUNTED = ("documents", "text_tokens", "examples", "tokens", "bytes")
_COUNTED_IF_PACKED = ("sequences", "padding", "padding_unpacked")


@dataclass(frozen=True)
class Estimate:
    """What to expect of a corpus job.

    Attributes:
        totals: "documents" (read), "text_tokens" (of the documents kept), "examples", "tokens" (of examples,
            including special tokens), "bytes" (of shards), over all splits; with packing also "sequences" (of the
            examples, which are rows), "padding" and "padding_unpacked" (if each sequence had a row), in tokens.
        errors: the relative standard error of each total.
        input_bytes: bytes of text of the input, as far as they are known without reading it.
        sample_bytes: how many of them were read.
        blocks: the number of blocks of the job.
        whole: whether the sample is the whole input.
        startup_seconds: time until a worker is ready.
        seconds: time of one core for all blocks.
        worker_bytes: peak memory of a worker.
    """

    totals: dict[str, float]
    errors: dict[str, float]
    input_bytes: int
    sample_bytes: int
    blocks: int
    whole: bool
    startup_seconds: float
    seconds: float
    worker_bytes: float

    def run_seconds(self, workers: int) -> float:
        """Estimates how long the job takes with `workers` workers on machines like this one."""
        rounds = -(-self.blocks // min(workers, self.blocks)) / self.blocks
        return self.startup_seconds + _RUNNER_SECONDS + self.seconds * rounds


@dataclass(frozen=True)
class _Measured:
    """Measurements of a separate process: the result of each piece, and time and memory for a block of pieces."""

    results: list[BlockResult]
    startup_seconds: float
    block_seconds: float
    base_bytes: int
    peak_bytes: int


def estimate_corpus(config: CorpusConfig, *, sample_bytes: int = 8 << 20) -> Estimate:
    """Estimates the results of a corpus job by processing a sample of its input.

    Args:
        config: the job's options; nothing is written to `output`.
        sample_bytes: approximate bytes of text to read. A smaller input is processed completely, and the estimate is
            then exact except for deduplication.

    Raises:
        UserError: for errors that would also stop the job.
    """
    job, plan = plan_corpus(config)
    total = sum(block.bytes for block in plan.blocks)
    sample = draw_sample(plan.blocks, sample_bytes, config.seed)
    with tempfile.TemporaryDirectory() as folder:
        # Few documents of a sample may be drawn for validation: their share is applied to the totals instead.
        fraction = config.validation_fraction if sample.whole else 0.0
        sample_config = dataclasses.replace(job.config, output=folder, validation_fraction=fraction)
        sample_job = dataclasses.replace(job, config=sample_config)
        block = joined(sample.blocks, job.config.block_bytes)
        # A separate process has the memory of a worker.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            measured = pool.submit(_measure, sample_job, sample.blocks, block, time.time()).result()
    names = _COUNTED if config.packing == "none" else _COUNTED + _COUNTED_IF_PACKED
    values = {name: [_counted(result, name) for result in measured.results] for name in names}
    estimates = {name: sample.total(values[name], total) for name in names}
    totals = {name: value for name, (value, _) in estimates.items()}
    if not sample.whole:
        _set_apart(totals, config)
        if max(values["documents"]) <= 1:
            # Pieces lie within documents, so every segment of the plan is one document.
            totals["documents"] = sum(len(block.segments) for block in plan.blocks)
    largest = min(max(block.bytes for block in plan.blocks), PART_CHARACTERS)
    growth = max(0, measured.peak_bytes - measured.base_bytes) / min(block.bytes, PART_CHARACTERS)
    return Estimate(
        totals=totals,
        errors={name: error for name, (_, error) in estimates.items()},
        input_bytes=total,
        sample_bytes=sum(block.bytes for block in sample.blocks),
        blocks=len(plan.blocks),
        whole=sample.whole,
        startup_seconds=measured.startup_seconds,
        seconds=measured.block_seconds / block.bytes * total,
        worker_bytes=measured.base_bytes + growth * largest,
    )


def _counted(result: BlockResult, name: str) -> int:
    if name == "bytes":
        return sum(shard.bytes for shard in result.shards)
    if name == "documents":
        return result.counts["text"].get(name, 0)
    return sum(result.counts.get(split, {}).get(name, 0) for split in SPLITS)


def _set_apart(totals: dict[str, float], config: CorpusConfig) -> None:
    """Corrects totals for validation documents, of which only one copy is made."""
    kept = 1 - config.validation_fraction * (1 - 1 / config.copies())
    for name in totals.keys() - {"documents", "text_tokens"}:
        totals[name] *= kept


def _measure(job: CorpusJob, pieces: Sequence[Block], block: Block, began: float) -> _Measured:
    """Processes a sample of a job's input, in a separate process."""
    import pipeline.beam.running.transforms  # noqa: F401 A worker imports Beam as well, a third of its memory.

    tokenizer = job.tokenizer()
    tokenizer.encode(["Loads the kernel."])
    startup_seconds = time.time() - began
    base_bytes = peak_memory()
    results = []
    for piece in pieces:
        results.append(build_block(piece, blocks=job.blocks, config=job.config, tokenizer=tokenizer))
        for shard in results[-1].shards:
            files.remove(files.join(job.config.output, shard.name))
    start = time.perf_counter()
    build_block(block, blocks=job.blocks, config=job.config, tokenizer=tokenizer)
    return _Measured(results, startup_seconds, time.perf_counter() - start, base_bytes, peak_memory())


def peak_memory() -> int:
    """Returns the peak memory of this process since it started, in bytes."""
    if sys.platform == "linux":  # Its `ru_maxrss` includes the memory of the parent process.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def render_estimate(estimate: Estimate, workers: int) -> str:
    """Formats an estimate as a table, with its assumptions."""
    labels = {
        "text_tokens": "tokens of text",
        "tokens": "tokens of examples",
        "bytes": "bytes on disk",
        "sequences": "sequences packed in the examples",
        "padding": "padding",
        "padding_unpacked": "padding without packing",
    }
    rows = []
    for name, value in estimate.totals.items():
        if name in ("padding", "padding_unpacked"):
            rows.append((labels[name], percent(value / max(1, value + estimate.totals["tokens"])), ""))
            continue
        shown = size(value) if name == "bytes" else count(value)
        give_or_take = f"± {200 * estimate.errors[name]:.1f} %" if estimate.errors[name] else ""
        rows.append((labels.get(name, name), shown, give_or_take))
    for number in dict.fromkeys((1, workers)):
        what = f"time with {number} worker{'s' * (number != 1)}"
        rows.append((what, _duration(estimate.run_seconds(number)), ""))
    rows.append(("memory per worker", size(estimate.worker_bytes), ""))
    basis = (
        "the whole input was processed: the counts are exact except for deduplication"
        if estimate.whole
        else f"{size(estimate.sample_bytes)} of {size(estimate.input_bytes)} of text were processed;"
        " ± is two standard errors.\nAssumes that the validation split gets its share of the documents; does not"
        " include deduplication across the whole input"
    )
    speed = "Time and memory are for this machine under its current load, with the text on its disk."
    return f"{table(rows, indent='  ')}\n{count(estimate.blocks)} blocks; {basis}.\n{speed}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"
