"""Masking when examples are read: anew in every epoch, from one copy of the corpus (Liu et al., 2019, "RoBERTa").

The masks are those of `pipeline.masking`. Nothing here has a state: what is drawn
for an example follows from the seed, the epoch and the example's own bytes, so that it is the same with any number of
workers, in any order, and after any resume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.compiling import MASKING_LOOPS, compile_loops
from pipeline.masking import MaskingPolicy, mask_examples
from pipeline.training.data.native_calls import called_by_tensorflow


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
        self._seed = np.uint64(seed % 2**64)
        compile_loops(MASKING_LOOPS)

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
        ids, room = batch["input_word_ids"], self._policy.max_predictions_per_seq
        fingerprints = tf.bitcast(tf.fingerprint(serialized), tf.uint64)  # Of uint8 [batch, 8].
        # Without a state: TensorFlow may leave it out, or compute it ahead.
        outputs = tf.numpy_function(
            called_by_tensorflow(self._draw),
            [ids, batch["word_starts"], fingerprints, epoch, masked_lm_prob],
            [tf.int32, tf.int32, tf.int32, tf.float32],
            stateful=False,
        )
        names = ("input_word_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
        for name, output in zip(names, outputs, strict=True):
            output.set_shape(ids.shape if name == "input_word_ids" else [ids.shape[0], room])
        masked = {name: tensor for name, tensor in batch.items() if name != "word_starts"}
        input_mask = tf.cast(ids != self.pad_id, tf.int32)
        return masked | {"input_mask": input_mask} | dict(zip(names, outputs, strict=True))

    def _draw(
        self, ids: np.ndarray, word_starts: np.ndarray, fingerprints: np.ndarray, epoch: np.ndarray, rate: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """What a masked batch has in place of the ids, and its predictions' places, ids and weights."""
        from pipeline.masking.kernels import keys_of_readings

        masked = mask_examples(
            ids,
            word_starts,
            keys_of_readings(fingerprints, epoch, self._seed),
            policy=self._policy,
            special_ids=self._special_ids,
            ordinary_ids=self._ordinary_ids,
            masked_lm_prob=float(rate),
        )
        return masked.input_word_ids, masked.positions, masked.ids, masked.weights
