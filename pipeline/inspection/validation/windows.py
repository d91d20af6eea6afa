"""Windows of text, to find documents of the validation split that also occur in training text.

A passage is the text of one document within an example. Some of its windows of consecutive tokens are chosen by their
hash, so that the same ones are chosen wherever the text occurs. Training shards are searched only for the windows of
the validation split, so memory grows only with that smaller split.
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
        windows: uint64 `[windows]`, their hashes; in a search for known windows, int64 indices of those, each once.
        records: int64 `[windows]`, the record of each: the first one in which it occurs.
        passages: int64 `[windows]`, the passage of each: a number unique within the shard.
    """

    windows: np.ndarray
    records: np.ndarray
    passages: np.ndarray

    @staticmethod
    def none() -> FoundWindows:
        """Returns an empty set of windows."""
        return FoundWindows(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class WindowSearch:
    """The windows to look for.

    Attributes:
        fewest_tokens: tokens of the shortest passage to consider: sentences may be repeated, passages should not.
        width: tokens of a window.
        one_in: one in this many windows is chosen.
        pairing: the pairing of the corpus.
        known_path: file of the windows to look for, uint64, ascending, in numpy's format; "" to collect all.
    """

    fewest_tokens: int
    width: int
    one_in: int
    pairing: str
    known_path: str = ""

    def find(self, fingerprinter: Fingerprinter, examples: Examples, numbers: np.ndarray) -> FoundWindows:
        """Finds the windows of a batch.

        Args:
            fingerprinter: computes the hashes.
            examples: the batch.
            numbers: int64 `[batch]`, their record numbers.
        """
        found = fingerprinter.windows(examples, self.width, self.one_in)
        length = examples.ids.shape[1]
        passage_at = np.arange(len(examples))[:, np.newaxis] * length + self._pieces(examples)
        tokens = np.bincount(passage_at[examples.ordinary], minlength=len(examples) * length)
        passages, records = passage_at[found.rows, found.places], numbers[found.rows]
        counts = tokens[passages] >= self.fewest_tokens
        # A passage is identified by its record and its place there, instead of its row in the batch.
        passages += (records - found.rows) * length
        windows = FoundWindows(found.hashes[counts], records[counts], passages[counts])
        return self._known_only(windows) if self.known_path else windows

    def join(self, parts: Sequence[FoundWindows]) -> FoundWindows:
        """Joins the windows of all batches of a shard."""
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
        """Numbers the pieces of an example that are each of one document, from 0: int64 `[batch, S]`."""
        pieces: np.ndarray = np.cumsum(~examples.ordinary, axis=1) - 1
        if examples.labels is not None:
            sequence = np.cumsum(examples.begins, axis=1) - 1
            one_document = np.take_along_axis(examples.labels, sequence, axis=1) == 0
            one_document |= self.pairing == "sentence-order"
            pieces = np.where(one_document, np.take_along_axis(pieces, examples.begin_at, axis=1), pieces)
        return pieces
