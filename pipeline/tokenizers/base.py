"""What every tokenizer of this project offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers.casing import Casing
from pipeline.tokenizers.word_boundaries import WordBoundaries

SPECIAL_NAMES = ("pad", "unk", "cls", "sep", "mask")
MASK = "[MASK]"  # What a mask is called in texts to fill, whatever the vocabulary calls it.


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
        lower_case: whether text is lower-cased and stripped of accents before the vocabulary's own rules, if any.
        casing: that, and what tells so.
        special_ids: ids of the special tokens, by the names of `SPECIAL_NAMES`.
        ordinary_ids: int32, ascending: the ids that a random replacement may be; never a special or unused token's.
        word_boundaries: tells where words begin among tokens.
        tokens: the vocabulary's entries, by id.
    """

    vocab_size: int
    lower_case: bool
    casing: Casing
    special_ids: Mapping[str, int]
    ordinary_ids: np.ndarray
    word_boundaries: WordBoundaries
    tokens: Sequence[str]

    def encode(self, sentences: Sequence[str]) -> TokenBatch:
        """Tokenizes sentences; no special token is added, and none comes of text that spells one."""

    def encode_with_masks(self, text: str) -> list[int]:
        """Tokenizes a text in which `MASK` stands for the special token; else as `encode`."""

    def describe(self) -> TokenizerDescription:
        """What a manifest says of this tokenizer; `vocab_file` is what a corpus calls its copy of the vocabulary."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text that reads like what was encoded; special tokens are spelled out."""
