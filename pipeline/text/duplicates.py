"""Finds documents that duplicate earlier ones, from columns of keys.

A key is a hash. Documents that share a key in any column are duplicates, and the first of them is kept. Documents are
numbered from the start of the plan. Memory holds no text, and only the keys of one column, or of a part of it.
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
    """Computes the keys of documents, by column.

    Args:
        documents: their texts.
        near: whether to add the columns for near duplicates.

    Returns:
        The fingerprints, uint64 `[documents, 2]`; then, for near duplicates, `BANDS` columns, uint64 `[documents, 1]`.
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
        int64 `[pairs, 2]`: each document that shares its key with an earlier one, and the first document with that key.
    """
    order = np.lexsort(keys.T[::-1])  # Stable: documents with the same key stay in order.
    keys, numbers = keys[order], numbers[order]
    again = np.concatenate([np.zeros(min(1, len(keys)), bool), (keys[1:] == keys[:-1]).all(axis=1)])
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(keys))))
    return np.stack([numbers[again], numbers[first[again]]], axis=1)


class DuplicateSets:
    """Sets of duplicate documents: a union-find vectorised with numpy.

    Args:
        documents: number of documents.
    """

    def __init__(self, documents: int) -> None:
        self._parent = np.arange(documents)  # An earlier document of the same set, or itself.

    def join(self, pairs: np.ndarray) -> None:
        """Joins the sets of the two documents of each pair, int64 `[pairs, 2]`."""
        while len(pairs):
            roots = self._roots(pairs)
            self._parent[pairs] = roots  # Path compression.
            apart = roots[:, 0] != roots[:, 1]
            pairs, roots = pairs[apart], roots[apart]
            # If a root is to get several parents, the least wins; the others are joined in the next round.
            np.minimum.at(self._parent, roots.max(axis=1), roots.min(axis=1))

    def duplicates(self) -> np.ndarray:
        """Returns all documents but the first of each set: int64, ascending."""
        return np.flatnonzero(self._parent != np.arange(len(self._parent)))

    def _roots(self, numbers: np.ndarray) -> np.ndarray:
        roots: np.ndarray = self._parent[numbers]
        while True:
            above = self._parent[roots]
            if np.array_equal(above, roots):
                return roots
            roots = above
