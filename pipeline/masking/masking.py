"""Masking a batch of examples.

Devlin et al., 2019, "BERT", section 3.1, task 1; google-research/bert's `create_masked_lm_predictions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pipeline.masking.policy import MaskingPolicy


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
    word_starts: np.ndarray,
    keys: np.ndarray,
    *,
    policy: MaskingPolicy,
    special_ids: Mapping[str, int],
    ordinary_ids: np.ndarray,
    masked_lm_prob: float | None = None,
) -> Masked:
    """Masks a batch of examples; special tokens of the layout and padding are never predicted.

    Args:
        input_word_ids: int32 `[batch, S]`.
        word_starts: int32 `[batch, S]`, above 0 where a token begins a word; not looked at if the unit is the token.
        keys: uint64 `[batch]`. An example's mask is a function of its key, its tokens and the policy alone.
        policy: the rates and the unit.
        special_ids: ids of the special tokens, by "pad", "cls", "sep", "mask".
        ordinary_ids: int32, the ids that a random replacement may be; each token of a unit draws its own.
        masked_lm_prob: another share of tokens to predict than the policy's, in [0, 1]; one is predicted at least.
    """
    from pipeline.masking.kernels import mask_batch

    shape = (len(input_word_ids), policy.max_predictions_per_seq)
    masked, positions, ids = input_word_ids.copy(), np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    weights, replaced = np.zeros(shape, np.float32), np.zeros(2, np.int64)
    share = policy.masked_lm_prob if masked_lm_prob is None else masked_lm_prob
    mask_batch(
        *(word_starts, keys, share, policy.unit == "token", policy.length_thresholds()),
        *(special_ids["pad"], special_ids["cls"], special_ids["sep"], special_ids["mask"], ordinary_ids),
        *(policy.mask_prob, policy.mask_prob + policy.random_prob),
        *(masked, positions, ids, weights, replaced),
    )
    return Masked(masked, positions, ids, weights, *replaced.tolist())
