"""How well a vocabulary covers a text: what it cannot spell, and into how many tokens it cuts a word."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

import numpy as np

from pipeline.errors import InputError
from pipeline.tokenizers.base import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoverageReport:
    """Coverage of a text, best one that the vocabulary was not learned from.

    Attributes:
        words: number of words.
        tokens: number of tokens; one for a word that cannot be spelled.
        unknown_words: number of words with an [UNK].
        unknown_characters: the characters of those words that no token holds, with the number of their occurrences,
            the most frequent first.
    """

    words: int
    tokens: int
    unknown_words: int
    unknown_characters: Mapping[str, int]

    @property
    def tokens_per_word(self) -> float:
        """Also called fertility; 1.0 if every word is in the vocabulary."""
        return self.tokens / self.words

    @property
    def unknown_share(self) -> float:
        """Share of the words with an [UNK], in [0, 1]."""
        return self.unknown_words / self.words


def coverage(tokenizer: Tokenizer, word_counts: Mapping[str, int]) -> CoverageReport:
    """Measures how a tokenizer's vocabulary covers words.

    Args:
        tokenizer: any tokenizer.
        word_counts: how often each word occurs; words normalised and split as BERT does it.

    Raises:
        InputError: if there are no words.
    """
    words = [word for word, count in word_counts.items() if count > 0]
    if not words:
        raise InputError("Coverage is measured on words", received="none", do="Check that the input holds text")
    counts = np.array([word_counts[word] for word in words], np.int64)
    ids, row_splits = tokenizer.encode(words)
    word_of_token = np.repeat(np.arange(len(words)), np.diff(row_splits))
    unknown = np.unique(word_of_token[ids == tokenizer.special_ids["unk"]])
    known_characters = set().union(*tokenizer.tokens)
    unknown_characters: Counter[str] = Counter()
    for word, count in zip((words[i] for i in unknown), counts[unknown].tolist(), strict=True):
        for character in word:
            if character not in known_characters:
                unknown_characters[character] += count
    return CoverageReport(
        words=int(counts.sum()),
        tokens=int(counts[word_of_token].sum()),
        unknown_words=int(counts[unknown].sum()),
        unknown_characters=dict(sorted(unknown_characters.items(), key=lambda item: (-item[1], item[0]))),
    )
