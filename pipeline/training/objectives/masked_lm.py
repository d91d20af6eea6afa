"""Masked language modelling: the tokens that were replaced (Devlin et al., 2019, https://arxiv.org/abs/1810.04805)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pipeline.training.objectives.base import Batch, Objective, Predictions, Scored

KINDS = ("masked", "random", "kept")  # What is found in the place of a token to predict.
BINS = 20  # Of equal width, over [0, 1].


@dataclass(frozen=True)
class MaskedLMObjective(Objective):
    """The original tokens of the positions that were chosen."""

    histogram_names: ClassVar[tuple[str, ...]] = tuple(f"right_token_probability/{kind}" for kind in KINDS)

    def predictions(self, labels: Batch, outputs: Mapping[str, Any]) -> Predictions | None:
        if "mlm_logits" not in outputs:
            return None
        return Predictions(labels["masked_lm_ids"], outputs["mlm_logits"], labels["masked_lm_weights"])

    def total_weight(self, batch: Batch) -> Any:
        import tensorflow as tf

        return tf.reduce_sum(batch["masked_lm_weights"])

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        # Examples of special tokens alone have nothing to predict.
        return super().means(sums) or {self.loss_name: math.nan, self.accuracy_name: math.nan}

    def histograms(self, batch: Batch, scored: Scored, mask_id: int) -> Any:
        """Counts predictions by the probability of the right token.

        Args:
            batch: int32 `input_word_ids` `[batch, seq_length]`; `masked_lm_positions`, `masked_lm_ids` and float32
                `masked_lm_weights`, `[batch, num_predictions]`.
            scored: of every prediction, `[batch, num_predictions]`, or of the real ones alone, `[n]`.
            mask_id: id of `[MASK]`.

        Returns:
            float32 `[3, 20]`: for `[MASK]`, random tokens and kept ones, how many predictions gave the right token a
            probability in [0, 0.05), [0.05, 0.1) ... [0.95, 1].
        """
        import tensorflow as tf

        is_real = batch["masked_lm_weights"] > 0
        found = tf.gather(batch["input_word_ids"], batch["masked_lm_positions"], batch_dims=1)
        kinds = tf.where(found == mask_id, 0, tf.where(found == batch["masked_lm_ids"], 2, 1))
        kinds = tf.boolean_mask(kinds, is_real)
        losses = scored.losses if scored.losses.shape.rank == 1 else tf.boolean_mask(scored.losses, is_real)
        probabilities = tf.exp(-losses)
        # NaN counts as 0.
        bins = tf.cast(tf.where(tf.math.is_finite(probabilities), probabilities, 0.0) * BINS, tf.int32)
        places = kinds * BINS + tf.clip_by_value(bins, 0, BINS - 1)
        counts = tf.math.unsorted_segment_sum(tf.ones_like(probabilities), places, len(KINDS) * BINS)
        return tf.reshape(counts, [len(KINDS), BINS])
