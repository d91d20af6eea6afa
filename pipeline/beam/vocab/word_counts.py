"""Counts the words of raw text: blocks write their counts to files, whose parts are then summed.

It uses files instead of a shuffle, for the reasons given in `pipeline.beam.corpus.deduplicate`.
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import files
from pipeline.beam.running.launch import run_units_left
from pipeline.beam.running.plan_file import PlanFile
from pipeline.beam.running.work import Part, WorkFolder
from pipeline.beam.vocab.config import VocabConfig
from pipeline.text.documents import clean_documents
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.plan import Block
from pipeline.text.split import is_set_apart
from pipeline.tokenizers.learning.learn import most_frequent, word_splitter

_MOST_PARTS = 64
Counts = list[tuple[str, int]]


@dataclass(frozen=True)
class WordCounts:
    """The data that workers need for counting words; can be pickled.

    Each word belongs to one part, chosen by its checksum. For each block, each part and in total, only the `max_words`
    most frequent words are kept, separately for words to learn from and for held-out text. The result does not depend
    on the order of blocks and words.

    Attributes:
        config: the vocabulary job's options.
        folder: its work folder.
        blocks: number of blocks in the plan.
        key: distinguishes the run from others in the folder.
        whole: whether words to learn from are what white space separates, whatever the kind of the vocabulary.
    """

    config: VocabConfig
    folder: str
    blocks: int
    key: str = ""
    whole: bool = False

    @property
    def plan(self) -> PlanFile:
        """The plan file, from which workers read their blocks."""
        return PlanFile(self.folder, self.key)

    @property
    def counted(self) -> WorkFolder:
        """The work folder in which blocks are marked as counted."""
        return WorkFolder(self.folder, key=self.key, run_id=self.key)

    @property
    def summed(self) -> WorkFolder:
        """The work folder in which parts are marked as summed."""
        return WorkFolder(self.folder, "part", key=self.key, run_id=self.key)

    @property
    def parts(self) -> int:
        """The number of parts."""
        return min(self.blocks, _MOST_PARTS)

    def run(self, blocks: Sequence[Block], *, beam_args: Sequence[str], workers: int, show_progress: bool) -> None:
        """Counts the words of all blocks, and sums the counts.

        Args:
            blocks: the plan.
            beam_args: Beam's own options.
            workers: maximum number of processes on this machine.
            show_progress: whether to draw progress bars.

        Raises:
            CorpusError: with the blocks that failed, and the reasons.
        """
        options = {"beam_args": beam_args, "workers": workers, "show_progress": show_progress}
        run_units_left(self.counted, blocks, self.count_block, description="words", **options)
        size = sum(result["bytes"] for result in self.counted.results(range(self.blocks)).values())
        parts = [Part(part, size // self.parts) for part in range(self.parts)]
        run_units_left(self.summed, parts, self.sum_part, description="sums", **options)

    def count_block(self, index: int) -> dict[str, Any]:
        """Counts the words of a block, and writes a table of where each part begins, then the counts by part."""
        split_words: Callable[[str], list[str]] = str.split
        if not self.whole:
            split_words = word_splitter(self.config.kind, lower_case=self.config.lower_case is not False)
        words: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        documents = [0, 0]
        for segment in self.plan.block(index).segments:
            for document in clean_documents(segment, self.config, TextCounts()):
                held_out = is_set_apart(document.text, self.config.held_out_fraction, self.config.seed)
                documents[held_out] += 1
                # All tokenizers are evaluated on the same words: text split at white space.
                words[held_out].update(document.text.split() if held_out else split_words(document.text))
        sections: list[Counts] = [[] for _ in range(2 * self.parts)]
        for number, counts in enumerate(words):
            for word, count in most_frequent(counts.items(), self.config.max_words):
                sections[2 * self._part(word) + number].append((word, count))
        data = [_to_lines(section) for section in sections]
        ends = np.cumsum([8 * (len(data) + 1), *map(len, data)], dtype="<i8")
        files.write_atomically(self._file("words", index), b"".join([ends.tobytes(), *data]))
        return {"documents": documents, "words": [counts.total() for counts in words], "bytes": int(ends[-1])}

    def sum_part(self, part: int) -> dict[str, list[int]]:
        """Sums the counts of a part over all blocks, and writes the sums."""
        words: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        for block in range(self.blocks):
            with files.open_read(self._file("words", block), 8 * 2 * part) as stream:
                ends = np.frombuffer(stream.read(24), "<i8").tolist()
                stream.seek(ends[0])
                for counts, (start, end) in zip(words, itertools.pairwise(ends), strict=True):
                    for word, count in _from_lines(stream.read(end - start)):
                        counts[word] += count
        data = [_to_lines(most_frequent(counts.items(), self.config.max_words)) for counts in words]
        files.write_atomically(self._file("sums", part), b"".join(data))
        return {"ends": [len(data[0]), len(data[0]) + len(data[1])]}

    def most_frequent_words(self) -> tuple[dict[str, int], dict[str, int]]:
        """Returns the counts of the most frequent words, sorted by word: to learn from, and held out."""
        kept: tuple[Counts, Counts] = ([], [])
        for part in range(self.parts):
            end = self.summed.result(part)["ends"][0]
            data = files.read(self._file("sums", part))
            for counts, section in zip(kept, (data[:end], data[end:]), strict=True):
                counts[:] = most_frequent([*counts, *_from_lines(section)], self.config.max_words)
        return dict(sorted(kept[0])), dict(sorted(kept[1]))

    def _part(self, word: str) -> int:
        return zlib.crc32(word.encode("utf-8", "replace")) % self.parts

    def _file(self, kind: str, index: int) -> str:
        return self.plan.path(f"{kind}-{index:05d}.tsv")


def _to_lines(counts: Iterable[tuple[str, int]]) -> bytes:
    """Formats one line per word: the word, a tab, its count. Words contain neither tabs nor line ends."""
    return "".join(f"{word}\t{count}\n" for word, count in counts).encode("utf-8", "replace")


def _from_lines(data: bytes) -> Iterator[tuple[str, int]]:
    for line in data.decode().split("\n")[:-1]:
        word, _, count = line.partition("\t")
        yield word, int(count)
