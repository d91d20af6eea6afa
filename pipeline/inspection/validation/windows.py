"""Windows of text, to tell whether a document of the validation split stands in training text too.

A passage is text of one document within an example. Of its windows of consecutive tokens some are chosen by their own
hash, so that the same are chosen wherever that text stands. Training shards are searched for those of the validation
split only, so memory is that of the smaller split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.inspection.examples import Examples
from pipeline.inspection.validation.fingerprints import Fingerprinter


class FoundWindows(NamedTuple):
    """Windows of a shard.

    Attributes:
        windows: uint64 `[windows]`, their hashes; of a search for known windows int64, indices of those, each once.
        records: int64 `[windows]`, the record that each is of: the first that was met.
        passages: int64 `[windows]`, the passage that each is of: numbers that are the passage's alone in its shard.
    """

    windows: np.ndarray
    records: np.ndarray
    passages: np.ndarray

    @staticmethod
    def none() -> FoundWindows:
        """No windows."""
        return FoundWindows(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class WindowSearch:
    """Which windows to look for.

    Attributes:
        fewest_tokens: tokens of the shortest text that tells anything: sentences are repeated, passages are not.
        width: tokens of a window.
        one_in: one in how many windows is chosen.
        pairing: the pairing of the corpus.
        known_path: file of the windows to look for, uint64, ascending, in numpy's format; "" to gather all.
    """

    fewest_tokens: int
    width: int
    one_in: int
    pairing: str
    known_path: str = ""

    def find(self, fingerprinter: Fingerprinter, examples: Examples, numbers: np.ndarray) -> FoundWindows:
        """Finds the windows of a batch.

        Args:
            fingerprinter: makes the hashes.
            examples: the batch.
            numbers: int64 `[batch]`, their record numbers.
        """
        found = fingerprinter.windows(examples, self.width, self.one_in)
        length = examples.ids.shape[1]
        passage_at = np.arange(len(examples))[:, np.newaxis] * length + self._pieces(examples)
        tokens = np.bincount(passage_at[examples.ordinary], minlength=len(examples) * length)
        passages, records = passage_at[found.rows, found.places], numbers[found.rows]
        counts = tokens[passages] >= self.fewest_tokens
        # Within the shard a passage is known by its record and its place there.
        passages += (records - found.rows) * length
        windows = FoundWindows(found.hashes[counts], records[counts], passages[counts])
        return self._known_only(windows) if self.known_path else windows

    def join(self, parts: Sequence[FoundWindows]) -> FoundWindows:
        """The windows of all batches of a shard."""
        if not parts:
            return FoundWindows.none()
        windows = FoundWindows(*map(np.concatenate, zip(*parts, strict=True)))
        if not self.known_path:
            return windows
        _, first = np.unique(windows.windows, return_index=True)
        return FoundWindows(*(column[first] for column in windows))

    def _known_only(self, found: FoundWindows) -> FoundWindows:
        known = np.load(self.known_path, mmap_mode="r")
        index = np.searchsorted(known, found.windows)
        hit = index < len(known)
        hit[hit] = known[index[hit]] == found.windows[hit]
        return FoundWindows(index[hit], found.records[hit], found.passages[hit])

    def _pieces(self, examples: Examples) -> np.ndarray:
        """The pieces of an example that are of one document each: int64 `[batch, S]`, their numbers from 0."""
        pieces: np.ndarray = np.cumsum(~examples.ordinary, axis=1) - 1
        if examples.labels is not None:
            one_document = (examples.labels == 0) | (self.pairing == "sentence-order")
            pieces[one_document] = 0
        return pieces
