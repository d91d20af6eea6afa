"""The PTransforms of the corpus job.

A block that fails leaves a note and lets the others go on; the launcher reports it when all have run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from pipeline.beam.block import build_block
from pipeline.beam.work import WorkFolder

if TYPE_CHECKING:
    from pipeline.beam.corpus import CorpusJob


class BuildShards(beam.PTransform):
    """Makes the shards of blocks: root -> 1 for each block that succeeded, else 0.

    Its shape, Create -> ParDo that writes files, is the one that every runner gets right, and needs no shuffle.

    Args:
        job: the job.
        indices: the numbers of those of its blocks that are to be made.
    """

    def __init__(self, job: CorpusJob, indices: Sequence[int]) -> None:
        super().__init__()
        self._job = job
        self._indices = indices

    def expand(self, root: Any) -> Any:
        return root | "Plan" >> beam.Create(self._indices) | "BuildShard" >> beam.ParDo(_BuildShardFn(self._job))


class ForEach(beam.PTransform):
    """Does a step for units of work: root -> 1 for each that succeeded, else 0; the same shape.

    Args:
        work: where a unit is marked as done, or its failure noted.
        indices: the units' numbers.
        step: what to do for a unit, given its number, fit for pickling; its result, plain values, goes with the mark.
    """

    def __init__(self, work: WorkFolder, indices: Sequence[int], step: Callable[[int], Any]) -> None:
        super().__init__()
        self._work = work
        self._indices = indices
        self._step = step

    def expand(self, root: Any) -> Any:
        return root | "Plan" >> beam.Create(self._indices) | "Step" >> beam.Map(_do, work=self._work, step=self._step)


def _do(index: int, work: WorkFolder, step: Callable[[int], Any]) -> int:
    try:
        if not work.is_done(index):  # A runner tries again what was done by a worker that it has lost.
            work.mark_done(index, step(index))
    except Exception as error:
        work.mark_failed(index, error)
        return 0
    return 1


class _BuildShardFn(beam.DoFn):
    """Makes a block's shards, then its sidecar."""

    def __init__(self, job: CorpusJob) -> None:
        super().__init__()
        self._job = job

    def setup(self) -> None:
        self._tokenizer = self._job.tokenizer()

    def process(self, index: int) -> Iterator[int]:
        job = self._job
        if job.work.is_done(index):  # By a worker that the runner has lost since.
            yield 1
            return
        try:
            result = build_block(
                job.plan.block(index),
                blocks=job.blocks,
                config=job.config,
                tokenizer=self._tokenizer,
                duplicates=job.duplicates(index),
            )
            job.work.mark_done(index, result.to_json())
        except Exception as error:
            job.work.mark_failed(index, error)
            yield 0
            return
        for shard in result.shards:
            beam.metrics.Metrics.counter("corpus", f"{shard.split}_examples").inc(shard.examples)
        yield 1
