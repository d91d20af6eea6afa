"""Masking when examples are read: anew in every epoch, from one copy of the corpus (Liu et al., 2019, "RoBERTa").

The rules are those of `pipeline.masking`, in TensorFlow ops over a batch. Nothing here has a state: what is drawn for
an example follows from the seed, the epoch and the example's own bytes, so that it is the same with any number of
workers, in any order, and after any resume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.masking import MaskingPolicy
from pipeline.training.dynamic_selection import Units, select_tokens, select_words, tokens_of
from pipeline.training.stateless_draws import Draws

# What a number is drawn for, beside the selection's: keeps the streams of an example apart.
_ACTIONS, _RANDOM_IDS = 4, 5


class DynamicMasking:
    """Masks batches of unmasked examples.

    Args:
        policy: the rates and the unit.
        special_ids: ids of the special tokens, by "pad", "cls", "sep", "mask".
        ordinary_ids: the ids that a random replacement may be.
        seed: the seed of all masks.
    """

    def __init__(
        self, policy: MaskingPolicy, special_ids: Mapping[str, int], ordinary_ids: Sequence[int] | np.ndarray, seed: int
    ) -> None:
        self._policy = policy
        self._special_ids = special_ids
        self._ordinary_ids = np.asarray(ordinary_ids, np.int32)
        self._seed = seed

    @property
    def pad_id(self) -> int:
        """Id of the padding."""
        return self._special_ids["pad"]

    def __call__(self, batch: Mapping[str, Any], serialized: Any, epoch: Any, masked_lm_prob: Any) -> dict[str, Any]:
        """Masks a batch.

        Args:
            batch: int32 `[batch, S]` tensors `input_word_ids`, `input_type_ids` and `word_starts`, and whatever else.
            serialized: string `[batch]`, the examples' own bytes.
            epoch: int64 `[batch]`, which time each example is read.
            masked_lm_prob: float64 scalar, the share of tokens to predict.

        Returns:
            The batch with `word_starts` replaced by `input_mask`, `masked_lm_positions`, `masked_lm_ids` and
            `masked_lm_weights`.
        """
        ids = batch["input_word_ids"]
        keys = Draws(self._seed, serialized, epoch)
        real = ids != self._special_ids["pad"]
        # Text never gives a special id: these are the layout's own.
        maskable = real & (ids != self._special_ids["cls"]) & (ids != self._special_ids["sep"])
        lengths = tf.reduce_sum(tf.cast(real, tf.float64), axis=1)
        room = self._policy.max_predictions_per_seq
        wanted = tf.clip_by_value(tf.cast(tf.round(lengths * masked_lm_prob), tf.int32), 1, room)
        if self._policy.unit == "token":
            units = select_tokens(maskable, wanted, room, keys)
        else:
            units = select_words(maskable, batch["word_starts"] > 0, wanted, self._policy.unit_lengths(), keys)
        masked = {name: tensor for name, tensor in batch.items() if name != "word_starts"}
        return masked | {"input_mask": tf.cast(real, tf.int32)} | self._replace(ids, units, keys)

    def _replace(self, ids: Any, units: Units, keys: Draws) -> dict[str, Any]:
        """Lists the predictions, `[batch, P]`, and puts the replacements in."""
        places, first, found = tokens_of(units, self._policy.max_predictions_per_seq)
        originals = tf.gather(ids, places, batch_dims=1)
        drawn = keys.uniform(_ACTIONS, tf.cast(first, tf.int64))
        by_mask = drawn < self._policy.mask_prob
        at_random = ~by_mask & (drawn < self._policy.mask_prob + self._policy.random_prob)
        number = keys.uniform(_RANDOM_IDS, tf.cast(places, tf.int64)) * len(self._ordinary_ids)
        random_ids = tf.gather(self._ordinary_ids, tf.cast(number, tf.int32))
        replaced = tf.where(by_mask, self._special_ids["mask"], tf.where(at_random, random_ids, originals))
        where = tf.where(found)  # [predictions, 2]: example, prediction.
        at = tf.stack([where[:, 0], tf.cast(tf.gather_nd(places, where), tf.int64)], axis=1)
        return {
            "input_word_ids": tf.tensor_scatter_nd_update(ids, at, tf.gather_nd(replaced, where)),
            "masked_lm_positions": places,
            "masked_lm_ids": tf.where(found, originals, 0),
            "masked_lm_weights": tf.cast(found, tf.float32),
        }
