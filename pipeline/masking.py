"""Choosing the tokens to predict, and what stands in their place.

Devlin et al., 2019, "BERT", section 3.1, task 1; google-research/bert's `create_masked_lm_predictions`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MASK_RATE, RANDOM_RATE = 0.8, 0.1  # The rest of the predicted tokens stay.


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


def prediction_counts(lengths: np.ndarray, masked_lm_prob: float, max_predictions_per_seq: int) -> np.ndarray:
    """How many tokens each example predicts: `min(P, max(1, round(n * masked_lm_prob)))`, rounding half to even.

    Args:
        lengths: integers `[batch]`, tokens of the examples, specials included.
        masked_lm_prob: the share to predict, in (0, 1].
        max_predictions_per_seq: P.
    """
    wanted = np.rint(lengths * masked_lm_prob).astype(np.int64)
    return np.clip(wanted, 1, max_predictions_per_seq)


def mask_tokens(
    input_word_ids: np.ndarray,
    maskable: np.ndarray,
    lengths: np.ndarray,
    *,
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    mask_id: int,
    ordinary_ids: np.ndarray,
    rng: np.random.Generator,
) -> Masked:
    """Masks a batch of examples, token by token.

    Args:
        input_word_ids: int32 `[batch, S]`.
        maskable: bool `[batch, S]`: where a token may be predicted; never at special tokens or padding.
        lengths: integers `[batch]`, tokens of the examples, specials included.
        masked_lm_prob: the share of tokens to predict, in (0, 1].
        max_predictions_per_seq: P.
        mask_id: the id of [MASK].
        ordinary_ids: int32, the ids that a random replacement may be.
        rng: the generator of this batch.
    """
    batch, seq_length = input_word_ids.shape
    room = min(max_predictions_per_seq, seq_length)
    wanted = prediction_counts(lengths, masked_lm_prob, max_predictions_per_seq)
    wanted = np.minimum(wanted, maskable.sum(axis=1))
    # The places of the `wanted` least of random numbers are a uniform choice without repetition. A place stands in the
    # low bits of its number, so that sorting carries it along and no two are alike.
    keys = rng.integers(0, 1 << 48, (batch, seq_length), np.int64) << 15
    keys |= np.arange(seq_length)
    keys[~maskable] = np.iinfo(np.int64).max
    least = np.partition(keys, room - 1, axis=1)[:, :room] if room < seq_length else keys
    least.sort(axis=1)
    weights = np.arange(room) < wanted[:, np.newaxis]
    positions = np.where(weights, least & 0x7FFF, seq_length)
    positions.sort(axis=1)
    positions = np.where(weights, positions, 0)

    ids = np.take_along_axis(input_word_ids, positions, axis=1)
    drawn = rng.random((batch, room))
    random_ids = ordinary_ids[(rng.random((batch, room)) * len(ordinary_ids)).astype(np.int64)]
    by_mask = weights & (drawn < MASK_RATE)
    at_random = weights & ~by_mask & (drawn < MASK_RATE + RANDOM_RATE)
    replacements = np.where(by_mask, mask_id, np.where(at_random, random_ids, ids))
    masked = input_word_ids.copy()
    rows = np.broadcast_to(np.arange(batch)[:, np.newaxis], weights.shape)
    masked[rows[weights], positions[weights]] = replacements[weights]

    pad = ((0, 0), (0, max_predictions_per_seq - room))
    return Masked(
        input_word_ids=masked,
        positions=np.pad(positions.astype(np.int32), pad),
        ids=np.pad(np.where(weights, ids, 0), pad),
        weights=np.pad(weights.astype(np.float32), pad),
        replaced_by_mask=int(by_mask.sum()),
        replaced_at_random=int(at_random.sum()),
    )
