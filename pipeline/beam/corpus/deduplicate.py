"""Deduplication in passes before the corpus is made: compute each block's keys, compare each column, list the drops.

Keys are exchanged through files in the work folder instead of a shuffle, which Beam's local runner would hold in memory
several times over. Finished parts are not redone, and this shape works on every runner.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline import files
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.running.launch import run_units_left
from pipeline.beam.running.plan_file import PlanFile
from pipeline.beam.running.work import WorkFolder
from pipeline.text.documents import clean_documents
from pipeline.text.duplicates import DuplicateSets, equal_keys, key_columns
from pipeline.text.fingerprint import FINGERPRINT_BYTES
from pipeline.text.minhash import BANDS
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.plan import Block

_RESULT_NAME = "duplicates.bin"
# Documents compared at a time, at about 40 bytes each.
_DOCUMENTS_A_COMPARISON = 1 << 22
REASONS = ("duplicate", "near_duplicate")


@dataclass(frozen=True)
class _Comparison:
    """A part of a column's keys: those equal to `part` modulo `parts`."""

    column: int
    part: int
    parts: int
    bytes: int

    @property
    def index(self) -> int:
        """Its index among all comparisons."""
        return self.column * self.parts + self.part


@dataclass(frozen=True)
class Deduplication:
    """The data that workers need for deduplication; can be pickled.

    Attributes:
        config: the corpus job's options.
        plan: its plan, in its work folder.
    """

    config: CorpusConfig
    plan: PlanFile

    @property
    def keys(self) -> WorkFolder:
        """The work folder in which the blocks' keys are marked as done."""
        return WorkFolder(self.plan.folder, "fingerprint", key=self.plan.key, run_id=self.plan.key)

    @property
    def comparisons(self) -> WorkFolder:
        """The work folder in which comparisons are marked as done."""
        return WorkFolder(self.plan.folder, "comparison", key=self.plan.key, run_id=self.plan.key)

    def run(self, blocks: Sequence[Block], *, beam_args: Sequence[str], workers: int, show_progress: bool) -> None:
        """Determines which documents to drop, unless an earlier run has done so.

        Args:
            blocks: the plan.
            beam_args: Beam's own options.
            workers: maximum number of processes on this machine.
            show_progress: whether to draw progress bars.

        Raises:
            CorpusError: with the blocks that failed, and the reasons.
        """
        if files.exists(self._file(_RESULT_NAME)):
            return
        options = {"beam_args": beam_args, "workers": workers, "show_progress": show_progress}
        run_units_left(self.keys, blocks, self.write_keys, description="fingerprints", **options)
        results = self.keys.results([block.index for block in blocks])
        documents = [results[block.index]["documents"] for block in blocks]
        starts = np.cumsum([0, *documents])
        parts = -(-int(starts[-1]) // _DOCUMENTS_A_COMPARISON)
        columns = 1 + BANDS * (self.config.dedup == "near")
        comparisons = [
            _Comparison(column, part, parts, int(starts[-1]) * 8)
            for column, part in itertools.product(range(columns), range(parts))
        ]
        compare = functools.partial(self.compare, starts=starts, parts=parts)
        run_units_left(self.comparisons, comparisons, compare, description="comparisons", **options)
        self._write_result(comparisons, starts)

    def of_block(self, index: int) -> dict[int, str]:
        """Returns the documents of a block to drop: maps their numbers within the block to reasons."""
        with files.open_read(self._file(_RESULT_NAME), 8 * index) as stream:
            start, end = np.frombuffer(stream.read(16), "<i8").tolist()
            stream.seek(start)
            entries = np.frombuffer(stream.read(end - start), "<u4").tolist()
        return {entry >> 1: REASONS[entry & 1] for entry in entries}

    def write_keys(self, index: int) -> dict[str, int]:
        """Writes the keys of a block's documents, column by column."""
        segments = self.plan.block(index).segments
        documents = (
            document.text for segment in segments for document in clean_documents(segment, self.config, TextCounts())
        )
        columns = key_columns(documents, near=self.config.dedup == "near")
        data = b"".join(np.ascontiguousarray(column, "<u8").tobytes() for column in columns)
        files.write_atomically(self._file(f"fingerprint-{index:05d}.bin"), data)
        return {"documents": len(columns[0])}

    def compare(self, index: int, starts: np.ndarray, parts: int) -> dict[str, int]:
        """Compares the keys of one part of a column over all blocks, and writes the pairs of equals."""
        which, part = divmod(index, parts)
        width = FINGERPRINT_BYTES if which == 0 else 8
        keys, numbers = [np.zeros((0, width // 8), np.uint64)], [np.zeros(0, np.int64)]
        for block, (start, end) in enumerate(itertools.pairwise(starts.tolist())):
            documents = end - start
            offset = 0 if which == 0 else documents * (FINGERPRINT_BYTES + 8 * (which - 1))
            with files.open_read(self._file(f"fingerprint-{block:05d}.bin"), offset) as stream:
                column = np.frombuffer(stream.read(documents * width), "<u8").reshape(-1, width // 8)
            mine = np.flatnonzero(column[:, 0] % np.uint64(parts) == part)
            keys.append(column[mine])
            numbers.append(mine + start)
        pairs = equal_keys(np.concatenate(keys), np.concatenate(numbers))
        files.write_atomically(self._file(f"pairs-{index:05d}.bin"), pairs.astype("<i8").tobytes())
        return {"pairs": len(pairs)}

    def _write_result(self, comparisons: Sequence[_Comparison], starts: np.ndarray) -> None:
        """Writes a table of where blocks begin, then the documents to drop, as twice the number plus the reason."""
        sets, exact = DuplicateSets(int(starts[-1])), np.zeros(0, np.int64)
        for column, group in itertools.groupby(comparisons, lambda comparison: comparison.column):
            for comparison in group:
                data = files.read(self._file(f"pairs-{comparison.index:05d}.bin"))
                sets.join(np.frombuffer(data, "<i8").reshape(-1, 2))
            if column == 0:
                exact = sets.duplicates()
        duplicates = sets.duplicates()
        near = ~np.isin(duplicates, exact, assume_unique=True)
        block_of = np.searchsorted(starts, duplicates, side="right") - 1
        entries = 2 * (duplicates - starts[block_of]) + near
        table = 8 * len(starts) + 4 * np.searchsorted(duplicates, starts)
        with files.write_file(self._file(_RESULT_NAME)) as writer:
            writer.write(table.astype("<i8").tobytes())
            writer.write(entries.astype("<u4").tobytes())

    def _file(self, name: str) -> str:
        return self.plan.path(name)
