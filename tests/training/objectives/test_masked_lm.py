from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.objectives.registry import MASKED_LM

MASK = 4


def _histograms(batch: Any, labels: Any, logits: np.ndarray) -> Any:
    scored = MASKED_LM.score(labels, {"mlm_logits": tf.constant(logits)})
    assert scored is not None
    return MASKED_LM.histograms(batch, scored, MASK)


@pytest.mark.parametrize("real_only", [False, True])
def test_counts_by_hand(real_only: bool) -> None:
    """Of a vocabulary of 10: probabilities chosen, and what stood in the places."""
    batch = {
        # Places 1 to 3: [MASK], another token, the token itself; then the token, [MASK], padding.
        "input_word_ids": tf.constant([[2, MASK, 9, 7, 3], [2, 6, MASK, 3, 0]]),
        "masked_lm_positions": tf.constant([[1, 2, 3], [1, 2, 0]]),
        "masked_lm_ids": tf.constant([[5, 6, 7], [6, 8, 0]]),
        "masked_lm_weights": tf.constant([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]),
    }
    probabilities = np.array([[0.97, 0.02, 0.52], [0.999, 0.07, 0.5]])
    rest = (1 - probabilities)[..., None] / 9
    is_right = np.eye(10)[batch["masked_lm_ids"].numpy()] > 0
    logits = np.log(np.where(is_right, probabilities[..., None], rest)).astype(np.float32)
    if real_only:
        logits = logits[batch["masked_lm_weights"].numpy() > 0]
    expected = np.zeros((3, 20))
    expected[0, 19] = expected[0, 1] = 1
    expected[1, 0] = 1
    expected[2, 10] = expected[2, 19] = 1
    labels = dict(batch)
    if real_only:
        is_real = batch["masked_lm_weights"] > 0
        labels |= {name: batch[name][is_real] for name in ("masked_lm_ids", "masked_lm_weights")}
    found = _histograms(batch, labels, logits)
    np.testing.assert_array_equal(found, expected)


def test_a_loss_that_is_no_number_counts_as_improbable() -> None:
    batch = {
        "input_word_ids": tf.constant([[2, MASK, 3]]),
        "masked_lm_positions": tf.constant([[1]]),
        "masked_lm_ids": tf.constant([[5]]),
        "masked_lm_weights": tf.constant([[1.0]]),
    }
    found = _histograms(batch, batch, np.full([1, 1, 10], np.nan, np.float32))
    assert found[0, 0] == 1
