"""The PTransforms of the corpus job.

A block that fails leaves a note and lets the others go on; the launcher reports it when all have run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from pipeline.beam.block import build_block
from pipeline.beam.work import Unit, WorkFolder
from pipeline.text.plan import Block

if TYPE_CHECKING:
    from pipeline.beam.corpus import CorpusJob


class BuildShards(beam.PTransform):
    """Makes the shards of blocks: root -> the number of blocks that succeeded, one element.

    Its shape, Create -> ParDo that writes -> Combine with one leaf, is the one that every runner gets right.

    Args:
        job: the job.
        blocks: those of its blocks that are to be made.
    """

    def __init__(self, job: CorpusJob, blocks: Sequence[Block]) -> None:
        super().__init__()
        self._job = job
        self._blocks = blocks

    def expand(self, root: Any) -> Any:
        return (
            root
            | "Plan" >> beam.Create(self._blocks)
            | "BuildShard" >> beam.ParDo(_BuildShardFn(self._job))
            | "CountFinished" >> beam.CombineGlobally(sum)
        )


class ForEach(beam.PTransform):
    """Does a step for units of work: root -> the number of those that succeeded, one element; the same shape.

    Args:
        work: where a unit's failure is noted; the step itself says there that a unit is done.
        units: the units, each with its `index`.
        step: the step, fit for pickling.
    """

    def __init__(self, work: WorkFolder, units: Sequence[Unit], step: Callable[[Any], None]) -> None:
        super().__init__()
        self._work = work
        self._units = units
        self._step = step

    def expand(self, root: Any) -> Any:
        return (
            root
            | "Plan" >> beam.Create(self._units)
            | "Step" >> beam.Map(_do, work=self._work, step=self._step)
            | "CountFinished" >> beam.CombineGlobally(sum)
        )


def _do(unit: Unit, work: WorkFolder, step: Callable[[Any], None]) -> int:
    try:
        step(unit)
    except Exception as error:
        work.mark_failed(unit.index, error)
        return 0
    return 1


class _BuildShardFn(beam.DoFn):
    """Makes a block's shards, then its sidecar."""

    def __init__(self, job: CorpusJob) -> None:
        super().__init__()
        self._job = job

    def setup(self) -> None:
        self._tokenizer = self._job.tokenizer()

    def process(self, block: Block) -> Iterator[int]:
        job = self._job
        try:
            result = build_block(
                block,
                blocks=job.blocks,
                config=job.config,
                tokenizer=self._tokenizer,
                duplicates=job.duplicates(block.index),
            )
            job.work.mark_done(block.index, result.to_json())
        except Exception as error:
            job.work.mark_failed(block.index, error)
            yield 0
            return
        for shard in result.shards:
            beam.metrics.Metrics.counter("corpus", f"{shard.split}_examples").inc(shard.examples)
        yield 1
