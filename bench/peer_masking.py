"""tensorflow/models' `create_pretraining_data` by this package's masking, for its tests; see `bench/peer_shim.py`.

Theirs masks lists of tokens one at a time; ours, blocks of ids.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from pipeline.masking.kernels import find_words
from pipeline.masking.masking import mask_examples
from pipeline.masking.policy import MaskingPolicy

_SPECIAL = ("[CLS]", "[SEP]")


def _starts(tokens: Sequence[str]) -> np.ndarray:
    """Where a token begins a word; int32 `[1, tokens]`."""
    return np.array([[not token.startswith("##") for token in tokens]], np.int32)


def _tokens_to_grams(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """The begin and end of each word."""
    maskable = np.array([token not in _SPECIAL for token in tokens])
    begins, ends = np.zeros(len(tokens), np.int64), np.zeros(len(tokens), np.int64)
    words = find_words(maskable, _starts(tokens)[0], False, begins, ends)
    return list(zip(begins[:words].tolist(), ends[:words].tolist(), strict=True))


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
    names = list(dict.fromkeys(["[PAD]", *_SPECIAL, "[MASK]", *tokens, *vocab_words]))
    ids = np.array([[names.index(token) for token in tokens]], np.int32)
    unit = "ngram" if max_ngram_size else "word" if do_whole_word_mask else "token"
    masked = mask_examples(
        ids,
        _starts(tokens),
        np.array([rng.getrandbits(64)], np.uint64),
        policy=MaskingPolicy(max_predictions_per_seq, masked_lm_prob, unit, max_ngram_size or 1),
        special_ids={name: names.index(f"[{name.upper()}]") for name in ("pad", "cls", "sep", "mask")},
        ordinary_ids=np.array([names.index(word) for word in vocab_words], np.int32),
    )
    count = int(masked.weights.sum())
    return (
        [names[i] for i in masked.input_word_ids[0]],
        masked.positions[0, :count].tolist(),
        [names[i] for i in masked.ids[0, :count]],
    )
