"""Finding documents that are duplicates of earlier ones, from columns of keys.

A key is a hash; documents that share one in some column belong together, and the first of them is kept. Numbers of
documents count from the start of the plan; no text is held, and the keys of one column, or of a part of it, at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.text.fingerprint import FINGERPRINT_BYTES, fingerprint
from pipeline.text.minhash import BANDS, band_keys

DEDUPLICATIONS = {
    "none": "keep all documents",
    "exact": "drop documents that equal an earlier one, apart from white space and the case of ASCII letters",
    "near": "also drop documents that share about three quarters of their runs of five words with an earlier one",
}
_BATCH_CHARS = 1 << 22


def key_columns(documents: Iterable[str], *, near: bool) -> list[np.ndarray]:
    """The keys of documents, by column.

    Args:
        documents: their texts.
        near: whether to make the columns of near duplicates, too.

    Returns:
        The fingerprints, uint64 `[documents, 2]`; then, for near duplicates, `BANDS` columns of `[documents, 1]`.
    """
    fingerprints: list[bytes] = []
    bands = [np.zeros((0, BANDS), np.uint64)]
    for batch in _batches(documents):
        fingerprints += map(fingerprint, batch)
        if near:
            bands.append(band_keys(batch))
    exact = np.frombuffer(b"".join(fingerprints), "<u8").reshape(-1, FINGERPRINT_BYTES // 8)
    return [exact, *np.split(np.concatenate(bands), BANDS, axis=1)] if near else [exact]


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    chars = 0
    for document in documents:
        batch.append(document)
        chars += len(document)
        if chars >= _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    yield batch


def equal_keys(keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Finds documents that share a key.

    Args:
        keys: uint64 `[documents, words of a key]`.
        numbers: int64 `[documents]`, ascending.

    Returns:
        int64 `[pairs, 2]`: each document whose key an earlier one has, and the first that has it.
    """
    order = np.lexsort(keys.T[::-1])  # Stable: documents of one key stay in their order.
    keys, numbers = keys[order], numbers[order]
    again = np.concatenate([np.zeros(min(1, len(keys)), bool), (keys[1:] == keys[:-1]).all(axis=1)])
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(keys))))
    return np.stack([numbers[again], numbers[first[again]]], axis=1)


class DuplicateSets:
    """Documents in sets of duplicates, joined pair by pair: a union-find whose steps are numpy's.

    Args:
        documents: how many there are.
    """

    def __init__(self, documents: int) -> None:
        self._parent = np.arange(documents)  # An earlier document of the same set, or itself.

    def join(self, pairs: np.ndarray) -> None:
        """Joins the sets of the documents of each pair, int64 `[pairs, 2]`."""
        while len(pairs):
            roots = self._roots(pairs)
            self._parent[pairs] = roots  # A shorter way next time.
            apart = roots[:, 0] != roots[:, 1]
            pairs, roots = pairs[apart], roots[apart]
            # Where several are to be put under one, the least wins, and the others follow in the next round.
            np.minimum.at(self._parent, roots.max(axis=1), roots.min(axis=1))

    def duplicates(self) -> np.ndarray:
        """All documents but the first of each set: int64, ascending."""
        return np.flatnonzero(self._parent != np.arange(len(self._parent)))

    def _roots(self, numbers: np.ndarray) -> np.ndarray:
        roots: np.ndarray = self._parent[numbers]
        while True:
            above = self._parent[roots]
            if np.array_equal(above, roots):
                return roots
            roots = above
