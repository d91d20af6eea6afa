"""Measures how well a vocabulary covers a text: what it cannot spell, and how many tokens it needs per word."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

import numpy as np

from pipeline.errors import InputError
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoverageReport:
    """Coverage of a text, preferably one that the vocabulary was not learned from.

    Attributes:
        words: number of words.
        characters: number of their characters.
        tokens: number of tokens.
        unknown_tokens: number of [UNK] among them.
        unknown_characters: number of occurrences of each character that the vocabulary cannot spell, the most frequent
            first.
    """

    words: int
    characters: int
    tokens: int
    unknown_tokens: int
    unknown_characters: Mapping[str, int]

    @property
    def tokens_per_word(self) -> float:
        """Fertility (Rust et al., 2021, "How good is your tokenizer?"); 1.0 if every word is a single token."""
        return self.tokens / self.words

    @property
    def unknown_share(self) -> float:
        """Share of [UNK] among the tokens, in [0, 1]."""
        return self.unknown_tokens / self.tokens if self.tokens else 0.0

    @property
    def lost_share(self) -> float:
        """Share of the characters that cannot be spelled, in [0, 1]."""
        return sum(self.unknown_characters.values()) / self.characters


def coverage(tokenizer: Tokenizer, word_counts: Mapping[str, int]) -> CoverageReport:
    """Measures how a tokenizer's vocabulary covers words.

    Args:
        tokenizer: any tokenizer.
        word_counts: how often each word occurs. Splitting words at white space makes tokenizers comparable.

    Raises:
        InputError: if there are no words.
    """
    words = [word for word, count in word_counts.items() if word and count > 0]
    if not words:
        raise InputError(
            "The text must contain words to measure coverage on",
            received="none",
            do="Check that the input contains text",
        )
    counts = np.array([word_counts[word] for word in words], np.int64)
    prefix = tokenizer.word_prefix if isinstance(tokenizer, HuggingFaceTokenizer) else ""
    ids, row_splits = tokenizer.encode([f"{prefix}{word}" for word in words])
    word_of_token = np.repeat(np.arange(len(words)), np.diff(row_splits))
    unknown = word_of_token[ids == tokenizer.special_ids["unk"]]
    return CoverageReport(
        words=int(counts.sum()),
        characters=int(counts @ np.array([len(word) for word in words], np.int64)),
        tokens=int(counts[word_of_token].sum()),
        unknown_tokens=int(counts[unknown].sum()),
        unknown_characters=_unknown_characters(tokenizer, {words[i]: int(counts[i]) for i in np.unique(unknown)}),
    )


def _unknown_characters(tokenizer: Tokenizer, word_counts: Mapping[str, int]) -> dict[str, int]:
    """Counts those characters of the words that are [UNK] even by themselves."""
    occurrences: Counter[str] = Counter()
    for word, count in word_counts.items():
        for character in word:
            occurrences[character] += count
    characters = sorted(occurrences, key=lambda character: (-occurrences[character], character))
    ids, row_splits = tokenizer.encode(characters)
    unknown = np.repeat(np.arange(len(characters)), np.diff(row_splits))[ids == tokenizer.special_ids["unk"]]
    return {characters[i]: occurrences[characters[i]] for i in np.unique(unknown)}
