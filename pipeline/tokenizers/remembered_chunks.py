"""Encodes what lies between two spaces once, and looks it up from then on.

Text is full of repetitions. A tokenizer that cuts before every single space gives a chunk the same ids in any sentence:
with its leading space, except at the start of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.tokenizers.base import TokenBatch
from pipeline.tokenizers.tokenizer_file import rules_of

_MOST_CHUNKS = 1 << 18  # Chunks remembered at a time: bounds memory.
# Normalisers for which a space separates what is before it from what is after it.
_NORMALIZERS = {"NFC", "NFD", "Lowercase"}
_JOINED = 64  # New chunks that are encoded as one text: a text takes the library longer than a chunk.


def cuts_at_spaces(values: Mapping[str, Any]) -> bool:
    """Returns whether a tokenizer.json cuts text before every single space: whether it has GPT-2's pre-tokenizer.

    It puts a single space in front of what follows, be it letters, digits or other marks. No added token may reach over
    a single space.
    """
    rules = rules_of(values, "pre_tokenizer")
    return (
        [rule.get("type") for rule in rules] == ["ByteLevel"]
        and rules[0].get("use_regex", True) is True
        and all(rule.get("type") in _NORMALIZERS for rule in rules_of(values, "normalizer"))
        and not any(
            # Several spaces in a row are not single ones, and text that holds them is not cut.
            token.get("lstrip") or token.get("rstrip") or (" " in token["content"] and "  " not in token["content"])
            for token in values.get("added_tokens") or ()
            if not token.get("special")
        )
    )


class RememberedChunks:
    """Encodes sentences chunk by chunk; several threads may use it.

    Args:
        encode: encodes texts, such as chunks, one by one.
        has_space: bool `[vocab_size]`: whether a token begins with a space.
    """

    def __init__(self, encode: Callable[[Sequence[str]], TokenBatch], has_space: np.ndarray) -> None:
        self._encode = encode
        self._has_space = has_space
        self._learning = threading.Lock()  # Many runners use several threads per worker.
        self._forget()

    def encode(self, sentences: Sequence[str]) -> TokenBatch:
        """Returns what encoding the sentences one by one would give.

        Args:
            sentences: texts without lone surrogates.
        """
        from pipeline.tokenizers.chunk_kernels import count_ids, put_ids

        with self._learning:
            if len(self._ends) > _MOST_CHUNKS:
                self._forget()
            numbers: list[int] = []
            number_splits = np.zeros(len(sentences) + 1, np.int64)
            for row, sentence in enumerate(sentences, start=1):
                words = sentence.split()
                if words and " ".join(words) == sentence:
                    numbers.append(self._first[words[0]])
                    numbers += map(self._following.__getitem__, words[1:])
                elif sentence:  # White space of another kind: a chunk of its own.
                    numbers.append(self._number(sentence))
                number_splits[row] = len(numbers)
            self._learn()
            chunk_ids, begins, ends = self._ids_of_chunks, self._begins, self._ends
        row_splits = np.zeros(len(sentences) + 1, np.int64)
        chunk_of = np.array(numbers, np.int32)
        count_ids(chunk_of, number_splits, begins, ends, row_splits)
        ids = np.empty(row_splits[-1], np.int32)
        put_ids(chunk_of, chunk_ids, begins, ends, ids)
        return TokenBatch(ids, row_splits)

    def _forget(self) -> None:
        self._first, self._following = _Numbers(self._number), _Numbers(self._number_following)
        self._new: list[str] = []
        self._following_new: list[int] = []  # The places in `_new` of chunks with their spaces.
        # Chunk i has the ids `_ids_of_chunks[_begins[i]:_ends[i]]`.
        self._ids_of_chunks = np.zeros(0, np.int32)
        self._begins = self._ends = np.zeros(0, np.int64)

    def _number(self, chunk: str) -> int:
        """Gives a new chunk its number."""
        self._new.append(chunk)
        return len(self._ends) + len(self._new) - 1

    def _number_following(self, word: str) -> int:
        self._following_new.append(len(self._new))
        return self._number(f" {word}")

    def _learn(self) -> None:
        """Encodes the new chunks."""
        if not self._new:
            return
        ids, splits = self._encode_new()
        self._new, self._following_new = [], []
        known = len(self._ids_of_chunks)
        self._ids_of_chunks = np.concatenate([self._ids_of_chunks, ids])
        self._begins = np.concatenate([self._begins, known + splits[:-1]])
        self._ends = np.concatenate([self._ends, known + splits[1:]])

    def _encode_new(self) -> TokenBatch:
        together = [self._new[place] for place in self._following_new]
        ids, _ = self._encode(["".join(together[i : i + _JOINED]) for i in range(0, len(together), _JOINED)])
        begins = np.flatnonzero(self._has_space[ids])
        if len(begins) != len(together):  # Such as an added token that took the space in front of it.
            return self._encode(self._new)
        others = sorted(set(range(len(self._new))).difference(self._following_new))
        other_ids, other_splits = self._encode([self._new[place] for place in others])
        # All ids in one array; then those of the chunks, in their order.
        order = np.argsort(np.concatenate([np.array(self._following_new, np.int64), np.array(others, np.int64)]))
        first = np.concatenate([begins, len(ids) + other_splits[:-1]])[order]
        lengths = np.concatenate([np.diff(begins, append=len(ids)), np.diff(other_splits)])[order]
        splits = np.zeros(len(order) + 1, np.int64)
        np.cumsum(lengths, out=splits[1:])
        places = np.arange(splits[-1]) + np.repeat(first - splits[:-1], lengths)
        return TokenBatch(np.concatenate([ids, other_ids])[places], splits)


class _Numbers(dict[str, int]):
    """The numbers of chunks; a new one is numbered when it is first looked up."""

    def __init__(self, number: Callable[[str], int]) -> None:
        super().__init__()
        self._number = number

    def __missing__(self, word: str) -> int:
        self[word] = number = self._number(word)
        return number
