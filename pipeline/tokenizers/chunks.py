"""Cuts text into numbered chunks, which BERT's tokenization can process one at a time.

Text is full of repetitions, so each distinct chunk is processed once, and its result is looked up from then on. A chunk
ends at white space. Punctuation characters and ideographs are chunks by themselves, because BERT always makes them
separate words. All other steps of BERT's tokenization work within a chunk.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np

from pipeline.tokenizers import normalizer

_CODE_POINTS = 0x30000  # BERT's ideographs and all punctuation are below.
_LEAST_SLOTS = 1 << 15


def encoded(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Encodes texts as UTF-8: returns the concatenated bytes, uint8, and their row splits, int64 `[texts + 1]`.

    A lone surrogate is encoded like any other code point.
    """
    if all(map(str.isascii, texts)):
        data, lengths = "".join(texts).encode(), map(len, texts)
    else:
        parts = _each_encoded(texts)
        data, lengths = b"".join(parts), map(len, parts)
    splits = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, len(texts)), out=splits[1:])
    return np.frombuffer(data, np.uint8), splits


def _each_encoded(texts: Sequence[str]) -> list[bytes]:
    try:
        return list(map(str.encode, texts))
    except UnicodeEncodeError:  # Naming an error handler takes longer than encoding a sentence.
        return [text.encode("utf-8", "surrogatepass") for text in texts]


class Chunks:
    """The chunks seen so far, numbered in order of appearance."""

    def __init__(self) -> None:
        self._known = 0
        self._slots = np.zeros((_LEAST_SLOTS, 2), np.uint64)
        self._splits = np.zeros(_LEAST_SLOTS // 2 + 1, np.int64)
        self._keys = np.empty(_LEAST_SLOTS * 4, np.uint8)

    def __len__(self) -> int:
        return self._known

    def since(self, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the chunks from number `first` on, as `encoded` does."""
        splits = self._splits[first : self._known + 1]
        return self._keys[splits[0] : splits[-1]], splits - splits[0]

    def number(self, data: np.ndarray, row_splits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cuts texts into chunks.

        Args:
            data: uint8, the texts as encoded by `encoded`.
            row_splits: int64 `[texts + 1]`.

        Returns:
            The chunks' numbers, int32, text by text, and their row splits, int64 `[texts + 1]`.
        """
        from pipeline.tokenizers import chunk_kernels as kernels

        numbers = np.empty(len(data), np.int32)  # Pages never written to take no memory.
        number_splits = np.zeros(len(row_splits), np.int64)
        state = np.array([0, 0, 0, self._known], np.int64)
        while not kernels.number_chunks(
            *(data, row_splits, _classes(), self._slots, self._splits, self._keys, state, numbers, number_splits)
        ):
            self._known = int(state[3])
            self._grow()
        self._known = int(state[3])
        return numbers[: state[2]], number_splits

    def _grow(self) -> None:
        """Makes room for more chunks, or for more of their bytes."""
        from pipeline.tokenizers import chunk_kernels as kernels

        if self._known < len(self._splits) - 1:
            self._keys = np.concatenate([self._keys, np.empty_like(self._keys)])
            return
        self._splits = np.concatenate([self._splits, np.empty_like(self._splits[1:])])
        slots = np.zeros((2 * len(self._slots), 2), np.uint64)
        kernels.move_slots(self._slots, slots)
        self._slots = slots


@functools.cache
def _classes() -> np.ndarray:
    """Returns the class of each code point, uint8; see `pipeline.tokenizers.chunk_kernels`."""
    from pipeline.tokenizers.chunk_kernels import LONE, PART, SPACE

    kinds = {"Z": SPACE, "P": LONE}
    classes = bytearray(kinds.get(unicodedata.category(chr(code))[0], PART) for code in range(_CODE_POINTS))
    for code in range(128):
        if normalizer.is_whitespace(chr(code)):
            classes[code] = SPACE
        elif normalizer.is_punctuation(chr(code)):
            classes[code] = LONE
    for first, last in normalizer.CJK_RANGES:
        classes[first : last + 1] = bytes([LONE]) * (last + 1 - first)
    return np.frombuffer(bytes(classes), np.uint8)
