"""What every tokenizer of this project offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.manifest import TokenizerDescription

SPECIAL_NAMES = ("pad", "unk", "cls", "sep", "mask")


class TokenBatch(NamedTuple):
    """The tokens of a batch of sentences, as columns.

    Attributes:
        ids: int32 `[tokens]`, sentence after sentence.
        row_splits: int64 `[sentences + 1]`; sentence i holds `ids[row_splits[i]:row_splits[i + 1]]`.
    """

    ids: np.ndarray
    row_splits: np.ndarray


class Tokenizer(Protocol):
    """Text to ids, in batches, and what pre-training needs to know of a vocabulary.

    Attributes:
        vocab_size: entries of the vocabulary.
        special_ids: ids of the special tokens, by the names of `SPECIAL_NAMES`.
        ordinary_ids: int32, ascending: the ids that a random replacement may be; never a special or unused token's.
        starts_word: bool `[vocab_size]`: whether a token begins a word rather than going on with one.
        tokens: the vocabulary's entries, by id.
    """

    vocab_size: int
    special_ids: Mapping[str, int]
    ordinary_ids: np.ndarray
    starts_word: np.ndarray
    tokens: Sequence[str]

    def encode(self, sentences: Sequence[str]) -> TokenBatch:
        """Tokenizes sentences; no special token is added, and none comes of text that spells one."""

    def describe(self, vocab_file: str) -> TokenizerDescription:
        """What a manifest says of this tokenizer, whose vocabulary lies in `vocab_file`."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text that reads like what was encoded; special tokens are spelled out."""
