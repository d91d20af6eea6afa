"""tensorflow/models' `create_pretraining_data` by this package's masking, for its tests; see `bench/peer_shim.py`.

Theirs masks lists of tokens one at a time; ours, blocks of ids.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from pipeline.masking.masking import mask_examples
from pipeline.masking.policy import MaskingPolicy
from pipeline.masking.selection import _find_words

_SPECIAL = ("[CLS]", "[SEP]")


def _flags(tokens: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Where a token may be masked, and where one begins a word; bool `[1, tokens]`."""
    maskable = np.array([[token not in _SPECIAL for token in tokens]])
    starts = np.array([[not token.startswith("##") for token in tokens]])
    return maskable, starts & maskable


def _tokens_to_grams(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """The begin and end of each word."""
    words = _find_words(*_flags(tokens))
    return [(int(begin), int(begin + length)) for begin, length in zip(words.begin, words.length, strict=True)]


def create_masked_lm_predictions(
    tokens: Sequence[str],
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    vocab_words: Sequence[str],
    rng: random.Random,
    do_whole_word_mask: bool,
    max_ngram_size: int | None,
) -> tuple[list[str], list[int], list[str]]:
    """Masks tokens; returns them, the positions of the predictions, and what was there."""
    names = list(dict.fromkeys([*tokens, *vocab_words, "[MASK]"]))
    ids = np.array([[names.index(token) for token in tokens]], np.int32)
    maskable, starts = _flags(tokens)
    unit = "ngram" if max_ngram_size else "word" if do_whole_word_mask else "token"
    masked = mask_examples(
        ids,
        maskable,
        starts,
        np.array([len(tokens)]),
        policy=MaskingPolicy(max_predictions_per_seq, masked_lm_prob, unit, max_ngram_size or 1),
        mask_id=names.index("[MASK]"),
        ordinary_ids=np.array([names.index(word) for word in vocab_words], np.int32),
        rng=np.random.default_rng(rng.randrange(2**32)),
    )
    count = int(masked.weights.sum())
    return (
        [names[i] for i in masked.input_word_ids[0]],
        masked.positions[0, :count].tolist(),
        [names[i] for i in masked.ids[0, :count]],
    )
