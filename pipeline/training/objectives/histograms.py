"""How sure a model is of the right tokens, by what stood in their places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

KINDS = ("masked", "random", "kept")
BINS = 20  # Of equal width, over [0, 1].


def probability_histograms(batch: Mapping[str, Any], outputs: Mapping[str, Any], mask_id: int) -> Any:
    """Counts the predictions of a batch by the probability of the right token.

    Args:
        batch: int32 `input_word_ids` `[batch, seq_length]`; `masked_lm_positions`, `masked_lm_ids` and float32
            `masked_lm_weights`, `[batch, num_predictions]`.
        outputs: `mlm_logits`, of every prediction `[batch, num_predictions, vocab_size]`, or of the real
            ones alone `[n, vocab_size]`.
        mask_id: id of `[MASK]`.

    Returns:
        float32 `[3, 20]`: for `[MASK]`, random tokens and kept ones, how many predictions gave the right
        token a probability in [0, 0.05), [0.05, 0.1) ... [0.95, 1].
    """
    is_real = batch["masked_lm_weights"] > 0
    found = tf.gather(batch["input_word_ids"], batch["masked_lm_positions"], batch_dims=1)
    kinds = tf.where(found == mask_id, 0, tf.where(found == batch["masked_lm_ids"], 2, 1))
    kinds, labels = tf.boolean_mask(kinds, is_real), tf.boolean_mask(batch["masked_lm_ids"], is_real)
    logits = tf.cast(outputs["mlm_logits"], tf.float32)
    if logits.shape.rank == 3:
        logits = tf.boolean_mask(logits, is_real)
    probabilities = tf.exp(-tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    # NaN says nothing: it counts as 0.
    bins = tf.cast(tf.where(tf.math.is_finite(probabilities), probabilities, 0.0) * BINS, tf.int32)
    places = kinds * BINS + tf.clip_by_value(bins, 0, BINS - 1)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(probabilities), places, len(KINDS) * BINS)
    return tf.reshape(counts, [len(KINDS), BINS])
