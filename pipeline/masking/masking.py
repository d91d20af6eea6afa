"""Masking a batch of examples.

Devlin et al., 2019, "BERT", section 3.1, task 1; google-research/bert's `create_masked_lm_predictions`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.masking.policy import MaskingPolicy, prediction_counts
from pipeline.masking.selection import select_tokens, select_words


class Masked(NamedTuple):
    """A batch of masked examples.

    Attributes:
        input_word_ids: int32 `[batch, S]`, with the replacements in place.
        positions: int32 `[batch, P]`, ascending, then zeros.
        ids: int32 `[batch, P]`, the original ids at those positions, then zeros.
        weights: float32 `[batch, P]`, 1.0 for a prediction, 0.0 for padding.
        replaced_by_mask: predictions that became [MASK].
        replaced_at_random: predictions that became a random id.
    """

    input_word_ids: np.ndarray
    positions: np.ndarray
    ids: np.ndarray
    weights: np.ndarray
    replaced_by_mask: int
    replaced_at_random: int


def mask_examples(
    input_word_ids: np.ndarray,
    maskable: np.ndarray,
    starts_word: np.ndarray,
    lengths: np.ndarray,
    *,
    policy: MaskingPolicy,
    mask_id: int,
    ordinary_ids: np.ndarray,
    rng: np.random.Generator,
) -> Masked:
    """Masks a batch of examples.

    Args:
        input_word_ids: int32 `[batch, S]`.
        maskable: bool `[batch, S]`: where a token may be predicted; never at special tokens or padding.
        starts_word: bool `[batch, S]`: where a token begins a word; not looked at if the unit is the token.
        lengths: integers `[batch]`, tokens of the examples, specials included.
        policy: the rates and the unit.
        mask_id: the id of [MASK].
        ordinary_ids: int32, the ids that a random replacement may be; each token of a unit draws its own.
        rng: the generator of this batch.
    """
    wanted = prediction_counts(lengths, policy)
    if policy.unit == "token":
        selection = select_tokens(maskable, wanted, rng)
    else:
        selection = select_words(maskable, starts_word, wanted, policy.unit_lengths(), rng)
    drawn = rng.random(selection.units)[selection.unit]
    by_mask = drawn < policy.mask_prob
    at_random = ~by_mask & (drawn < policy.mask_prob + policy.random_prob)
    random_ids = ordinary_ids[(rng.random(len(drawn)) * len(ordinary_ids)).astype(np.int64)]
    replacements = np.where(by_mask, mask_id, np.where(at_random, random_ids, -1)).astype(np.int32)

    from pipeline.masking import kernels

    shape = (len(input_word_ids), policy.max_predictions_per_seq)
    masked, positions, ids = input_word_ids.copy(), np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    weights = np.zeros(shape, np.float32)
    kernels.put_predictions(selection.selected, replacements, masked, positions, ids, weights)
    return Masked(masked, positions, ids, weights, int(by_mask.sum()), int(at_random.sum()))
