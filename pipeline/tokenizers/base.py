"""The interface of all tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers.casing import Casing
from pipeline.tokenizers.word_boundaries import WordBoundaries

SPECIAL_NAMES = ("pad", "unk", "cls", "sep", "mask")
MASK = "[MASK]"  # A mask in texts to fill, whatever the vocabulary's own name for it.


class TokenBatch(NamedTuple):
    """The tokens of a batch of sentences, as columns.

    Attributes:
        ids: int32 `[tokens]`, sentence by sentence.
        row_splits: int64 `[sentences + 1]`; sentence i holds `ids[row_splits[i]:row_splits[i + 1]]`.
    """

    ids: np.ndarray
    row_splits: np.ndarray


class Tokenizer(Protocol):
    """Turns text into ids, in batches, and provides the properties of a vocabulary that pre-training needs.

    Attributes:
        vocab_size: number of entries of the vocabulary.
        lower_case: whether text is lower-cased and stripped of accents before the vocabulary's own rules, if any.
        casing: the same decision, with its reason.
        special_ids: ids of the special tokens, by the names of `SPECIAL_NAMES`.
        ordinary_ids: int32, ascending: the ids allowed as random replacements, without special and unused tokens.
        word_boundaries: finds the tokens that begin words.
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
        """Tokenizes sentences; adds no special tokens, and text that spells one does not become one.

        Args:
            sentences: the texts.

        Returns:
            The ids of all sentences, int32 `[tokens]`, and where each begins, int64 `[sentences + 1]`.
        """

    def encode_with_masks(self, text: str) -> list[int]:
        """Tokenizes a text like `encode`, except that "[MASK]" becomes the special token.

        Args:
            text: the text.

        Returns:
            Its ids.
        """

    def describe(self) -> TokenizerDescription:
        """Returns the manifest's description of this tokenizer; `vocab_file` names the corpus's own copy."""

    def show(self, index: int) -> str:
        """Returns an entry as people read it: that of a byte-level tokenizer as text, with "▁" for white space.

        Args:
            index: the id of the entry.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """Converts ids back to readable text, with special tokens spelled out.

        Args:
            ids: the ids.

        Returns:
            The text, which may differ from the original in white space and case.
        """
