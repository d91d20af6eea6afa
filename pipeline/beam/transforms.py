"""The PTransforms of the jobs.

A block that fails leaves a note and lets the others go on; the launcher reports it when all have run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from pipeline import files
from pipeline.beam.block import build_block
from pipeline.text.plan import Block
from pipeline.text.readers import read_documents
from pipeline.tokenizers.normalizer import BertNormalizer

if TYPE_CHECKING:
    from pipeline.beam.corpus import CorpusJob
    from pipeline.beam.vocabulary import VocabularyJob


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
            result = build_block(block, blocks=job.blocks, config=job.config, tokenizer=self._tokenizer)
            job.work.mark_done(block.index, result.to_json())
        except Exception as error:
            job.work.mark_failed(block.index, error)
            yield 0
            return
        for shard in result.shards:
            beam.metrics.Metrics.counter("corpus", f"{shard.split}_examples").inc(shard.examples)
        yield 1


class CountWords(beam.PTransform):
    """Counts the words of blocks: root -> one element, the number of distinct words; the counts go to a file.

    A block's words are counted where it is read, so that only its distinct words meet a shuffle.

    Args:
        job: the job.
        blocks: its blocks.
    """

    def __init__(self, job: VocabularyJob, blocks: Sequence[Block]) -> None:
        super().__init__()
        self._job = job
        self._blocks = blocks

    def expand(self, root: Any) -> Any:
        return (
            root
            | "Plan" >> beam.Create(self._blocks)
            | "CountBlock" >> beam.ParDo(_CountBlockFn(self._job))
            | "SumCounts" >> beam.CombinePerKey(sum)
            | "Gather" >> beam.combiners.ToList()
            | "WriteCounts" >> beam.Map(_write_counts, path=self._job.counts_path)
        )


class _CountBlockFn(beam.DoFn):
    """Counts the words of a block: (word, count) for each distinct one."""

    def __init__(self, job: VocabularyJob) -> None:
        super().__init__()
        self._job = job

    def setup(self) -> None:
        self._normalizer = BertNormalizer(lower_case=self._job.lower_case)

    def process(self, block: Block) -> Iterator[tuple[str, int]]:
        words: Counter[str] = Counter()
        try:
            for segment in block.segments:
                for document in read_documents(segment, self._job.format, Counter()):
                    words.update(self._normalizer.words(document))
            self._job.work.mark_done(block.index, {"distinct_words": len(words)})
        except Exception as error:
            self._job.work.mark_failed(block.index, error)
            return
        yield from words.items()


def _write_counts(counts: Sequence[tuple[str, int]], path: str) -> int:
    """Writes counts, a word a line, in the order of the words."""
    lines = "".join(f"{word}\t{count}\n" for word, count in sorted(counts))
    files.write_atomically(path, lines.encode())
    return len(counts)
