"""The PTransform that counts the words of raw text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from pipeline import files
from pipeline.text.documents import clean_documents
from pipeline.text.split import is_set_apart
from pipeline.tokenizers.learning import most_frequent, word_splitter

if TYPE_CHECKING:
    from pipeline.beam.vocabulary import VocabularyJob

# What travels: ((whether the word is of held-out text, the word), its count).
_Count = tuple[tuple[bool, str], int]


class CountWords(beam.PTransform):
    """Counts the words of blocks: root -> one element, the number of distinct words; the counts go to files.

    A block's words are counted where it is read, so that only its distinct words meet a shuffle, and no more of them
    than `max_words`. Of the sums, too, only the `max_words` most frequent are kept; of the words that are learned from
    as of those of held-out text. What remains does not depend on the order in which blocks and words come.

    Args:
        job: the job.
        indices: the numbers of its blocks.
    """

    def __init__(self, job: VocabularyJob, indices: Sequence[int]) -> None:
        super().__init__()
        self._job = job
        self._indices = indices

    def expand(self, root: Any) -> Any:
        return (
            root
            | "Plan" >> beam.Create(self._indices)
            | "CountBlock" >> beam.ParDo(_CountBlockFn(self._job)).with_output_types(_Count)
            | "SumCounts" >> beam.CombinePerKey(sum)
            | "KeepMostFrequent" >> beam.CombineGlobally(_MostFrequentFn(self._job.config.max_words))
            | "WriteCounts" >> beam.Map(_write_counts, paths=self._job.counts_paths)
        )


class _CountBlockFn(beam.DoFn):
    """Counts the words of a block: an element for each distinct one."""

    def __init__(self, job: VocabularyJob) -> None:
        super().__init__()
        self._job = job

    def setup(self) -> None:
        self._split_words = word_splitter(self._job.config.kind, lower_case=self._job.config.lower_case)

    def process(self, index: int) -> Iterator[_Count]:
        job, config = self._job, self._job.config
        words: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        documents = [0, 0]
        try:
            for segment in job.plan.block(index).segments:
                for document in clean_documents(segment, config, Counter()):
                    held_out = is_set_apart(document, config.held_out_fraction, config.seed)
                    documents[held_out] += 1
                    # Every tokenizer is judged on the same words: those that white space separates.
                    words[held_out].update(document.split() if held_out else self._split_words(document))
            job.work.mark_done(index, {"documents": documents, "words": [count.total() for count in words]})
        except Exception as error:
            job.work.mark_failed(index, error)
            return
        for held_out in (False, True):
            for word, count in most_frequent(words[held_out].items(), config.max_words):
                yield (held_out, word), count


class _MostFrequentFn(beam.CombineFn):
    """Gathers counts into two lists, of learned and of held-out words, each of the most frequent."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def create_accumulator(self) -> tuple[list[tuple[str, int]], ...]:
        return [], []

    def add_input(self, gathered: Any, element: _Count) -> Any:
        (held_out, word), count = element
        gathered[held_out].append((word, count))
        if len(gathered[held_out]) >= 2 * self._limit:
            gathered[held_out][:] = most_frequent(gathered[held_out], self._limit)
        return gathered

    def merge_accumulators(self, accumulators: Iterable[Any]) -> Any:
        merged = self.create_accumulator()
        for gathered in accumulators:
            for kept, more in zip(merged, gathered, strict=True):
                kept[:] = most_frequent([*kept, *more], self._limit)
        return merged

    def extract_output(self, gathered: Any) -> Any:
        return tuple(most_frequent(counts, self._limit) for counts in gathered)


def _write_counts(counts: Sequence[Sequence[tuple[str, int]]], paths: Sequence[str]) -> int:
    """Writes counts, a word a line, in the order of the words."""
    for path, part in zip(paths, counts, strict=True):
        lines = "".join(f"{word}\t{count}\n" for word, count in sorted(part))
        files.write_atomically(path, lines.encode("utf-8", "replace"))
    return sum(map(len, counts))
