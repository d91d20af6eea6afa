"""What a corpus will hold, and what making it takes, from a sample of its input."""

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
from pipeline.beam.corpus.block import PART_CHARACTERS, SPLITS, BlockResult, build_block
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.job import CorpusJob, plan_corpus
from pipeline.inspection.sampling import draw_sample, joined
from pipeline.inspection.tables import count, size, table
from pipeline.text.reading.plan import Block

_RUNNER_SECONDS = 3.0  # Beam starts and ends.
_COUNTED = ("documents", "text_tokens", "examples", "tokens", "bytes")


@dataclass(frozen=True)
class Estimate:
    """What to expect of a corpus job.

    Attributes:
        totals: "documents" (read), "text_tokens" (of the documents that are kept), "examples", "tokens" (of examples,
            specials included), "bytes" (of shards), of all splits.
        errors: of each the standard error, as a share.
        input_bytes: bytes of text of the input, as far as they are known without reading it.
        sample_bytes: how many of them were read.
        blocks: how many blocks the job has.
        whole: whether the sample is all of the input.
        startup_seconds: until a worker is ready.
        seconds: of one core for all blocks.
        worker_bytes: the most memory that a worker takes.
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
        """How long the job takes with so many workers on machines like this one."""
        rounds = -(-self.blocks // min(workers, self.blocks)) / self.blocks
        return self.startup_seconds + _RUNNER_SECONDS + self.seconds * rounds


@dataclass(frozen=True)
class _Measured:
    """What a process of its own measured: of each piece its result, and time and memory of a block of many."""

    results: list[BlockResult]
    startup_seconds: float
    block_seconds: float
    base_bytes: int
    peak_bytes: int


def estimate_corpus(config: CorpusConfig, *, sample_bytes: int = 8 << 20) -> Estimate:
    """Estimates what a corpus job will give, by doing a sample of its work.

    Args:
        config: the job's options; `output` is not touched.
        sample_bytes: bytes of text to read, about; an input that is not larger is done whole, and
            predicted exactly but for deduplication.

    Raises:
        UserError: for whatever would stop the job too.
    """
    job, plan = plan_corpus(config)
    total = sum(block.bytes for block in plan.blocks)
    sample = draw_sample(plan.blocks, sample_bytes, config.seed)
    with tempfile.TemporaryDirectory() as folder:
        # Which documents are set apart is chance: a sample tells by how much text there is, not by whose it is.
        fraction = config.validation_fraction if sample.whole else 0.0
        sample_config = dataclasses.replace(job.config, output=folder, validation_fraction=fraction)
        sample_job = dataclasses.replace(job, config=sample_config)
        block = joined(sample.blocks, job.config.block_bytes)
        # A process of its own: its memory is that of a worker.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            measured = pool.submit(_measure, sample_job, sample.blocks, block, time.time()).result()
    values = {name: [_counted(result, name) for result in measured.results] for name in _COUNTED}
    estimates = {name: sample.total(values[name], total) for name in _COUNTED}
    totals = {name: value for name, (value, _) in estimates.items()}
    if not sample.whole:
        _set_apart(totals, config)
        if max(values["documents"]) <= 1:
            # A piece is within a document, and every segment of the plan is one.
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
    """Of what is set apart for validation only one copy is made."""
    kept = 1 - config.validation_fraction * (1 - 1 / config.copies())
    for name in ("examples", "tokens", "bytes"):
        totals[name] *= kept


def _measure(job: CorpusJob, pieces: Sequence[Block], block: Block, began: float) -> _Measured:
    """Does a sample of a job's work, in a process of its own."""
    import pipeline.beam.running.transforms  # noqa: F401 A worker holds Beam as well, a third of its memory.

    tokenizer = job.tokenizer()
    tokenizer.encode(["Loads the kernel."])
    startup_seconds = time.time() - began
    base_bytes = _peak_memory()
    results = []
    for piece in pieces:
        results.append(build_block(piece, blocks=job.blocks, config=job.config, tokenizer=tokenizer))
        for shard in results[-1].shards:
            files.remove(files.join(job.config.output, shard.name))
    start = time.perf_counter()
    build_block(block, blocks=job.blocks, config=job.config, tokenizer=tokenizer)
    return _Measured(results, startup_seconds, time.perf_counter() - start, base_bytes, _peak_memory())


def _peak_memory() -> int:
    """The most memory that this process took so far, in bytes."""
    if sys.platform == "linux":  # Whose usage counts what the process that started this one held, too.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def render_estimate(estimate: Estimate, workers: int) -> str:
    """An estimate as a table, with what it rests on."""
    labels = {"text_tokens": "tokens of text", "tokens": "tokens of examples", "bytes": "bytes on disk"}
    rows = []
    for name, value in estimate.totals.items():
        shown = size(value) if name == "bytes" else count(value)
        give_or_take = f"± {200 * estimate.errors[name]:.1f} %" if estimate.errors[name] else ""
        rows.append((labels.get(name, name), shown, give_or_take))
    for number in dict.fromkeys((1, workers)):
        what = f"time with {number} worker{'s' * (number != 1)}"
        rows.append((what, _duration(estimate.run_seconds(number)), ""))
    rows.append(("memory of a worker", size(estimate.worker_bytes), ""))
    basis = (
        "all of the input was processed: the counts are exact, but for what deduplication drops"
        if estimate.whole
        else f"{size(estimate.sample_bytes)} of {size(estimate.input_bytes)} of text was processed;"
        " ± is two standard errors.\nAssumes that documents fall to the validation split by their share, and that"
        " nothing is dropped that only the whole input tells to be a duplicate"
    )
    speed = "Time and memory are those of this machine, as busy as it is now, with the text on its disk."
    return f"{table(rows, indent='  ')}\n{count(estimate.blocks)} blocks; {basis}.\n{speed}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"
