"""Extends vocabularies of byte pairs and of unigrams by what tokens of a text are merged into.

Text in which no new entry stands keeps its tokens:

- A byte-pair encoding of Hugging Face's makes new entries by merges behind all old ones, hence of tokens that no old
  merge changes.
- SentencePiece's merges any two pieces that make a piece, the best score first. New pieces have lower scores than all
  old ones, and none begins or ends an old piece, which it could be merged into.
- A unigram model takes the best cut by the sum of scores. If that has no new piece, it was the best before. A new piece
  scores a little better than the old pieces that it is made of together, so that it stands where they stood; but no
  worse than the worst old one, as the score of unknown text follows from the least.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pipeline.tokenizers.huggingface import HuggingFaceTokenizer
from pipeline.tokenizers.learning.token_merges import (
    LearnedToken,
    MergingTokenizer,
    find_runs,
    learn_token_merges,
)
from pipeline.tokenizers.sentencepiece import SentencePieceTokenizer

# What a token less is worth in a unigram model: far more than the rounding of a sentence's score in float32, and far
# less than what cuts differ by.
_BONUS = 0.05
# Merges for each entry of a unigram model, and some more: it needs none of those in between.
_TRIED, _TRIED_BESIDES = 4, 256
_LONGEST = 50  # Characters.


class Merged(NamedTuple):
    """Entries to add to a byte-pair encoding of Hugging Face's.

    Attributes:
        tokens: the entries.
        merges: what makes them, in their order.
        saved: how many tokens fewer the words have by them.
    """

    tokens: list[str]
    merges: list[tuple[str, str]]
    saved: int


class Scored(NamedTuple):
    """Entries to add to a vocabulary that chooses by scores.

    Attributes:
        scores: those of the entries.
        saved: how many tokens fewer the words have by them, about.
    """

    scores: dict[str, float]
    saved: int


def choose_merges(
    tokenizer: HuggingFaceTokenizer, word_counts: Mapping[str, int], *, add: int, min_count: int
) -> Merged:
    """Chooses entries of a byte-pair encoding of Hugging Face's.

    Args:
        tokenizer: the old tokenizer.
        word_counts: how often each word occurs; words as white space separates them.
        add: maximum number of entries.
        min_count: minimum number of occurrences of a pair.
    """
    runs = find_runs(tokenizer, word_counts)
    merges, learned = learn_token_merges(
        runs, tokenizer.tokens, barred=set(tokenizer.tokens), wanted=add, min_count=min_count
    )
    return Merged([token.text for token in learned], merges, sum(map(_saved, learned)))


def choose_pieces(
    tokenizer: SentencePieceTokenizer, word_counts: Mapping[str, int], *, add: int, min_count: int
) -> Scored:
    """Chooses pieces of a SentencePiece model of byte pairs; see `choose_merges`."""
    runs = find_runs(tokenizer, word_counts)
    barred = {piece[:end] for piece in tokenizer.tokens for end in range(1, len(piece) + 1)}
    barred |= {piece[start:] for piece in tokenizer.tokens for start in range(1, len(piece))}
    _, learned = learn_token_merges(runs, tokenizer.tokens, barred=barred, wanted=add, min_count=min_count)
    least = np.floor(min(tokenizer.scores[index] for index in tokenizer.mergeable_ids))
    scores = {token.text: float(least - 1 - number) for number, token in enumerate(learned)}
    return Scored(scores, sum(map(_saved, learned)))


def choose_scored(tokenizer: MergingTokenizer, word_counts: Mapping[str, int], *, add: int, min_count: int) -> Scored:
    """Chooses entries of a unigram model, those that save most tokens first; see `choose_merges`."""
    runs, scores = find_runs(tokenizer, word_counts), tokenizer.scores
    _, learned = learn_token_merges(
        runs, tokenizer.tokens, barred=set(tokenizer.tokens), wanted=_TRIED * add + _TRIED_BESIDES, min_count=min_count
    )
    kept = [token for token in learned if token.uses >= max(1, min_count) and len(token.text) <= _LONGEST]
    kept = sorted(kept, key=lambda token: (-_saved(token), token.text))[:add]
    least = min(scores[index] for index in tokenizer.mergeable_ids)
    chosen = {
        token.text: max(least, sum(scores[piece] for piece in token.pieces) + _BONUS * (len(token.pieces) - 1))
        for token in kept
    }
    return Scored(chosen, sum(map(_saved, kept)))


def _saved(token: LearnedToken) -> int:
    return token.uses * (len(token.pieces) - 1)
