"""Labels of whole examples, of which a packed row holds several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.objectives.registry import NEXT_SENTENCE


def make_batch(sequences: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Four rows with room for some sequences, of which each row has at least one; and logits of all of them."""
    draw = np.random.default_rng(2)
    batch = {
        "input_word_ids": np.zeros((4, 6), np.int32),
        "next_sentence_labels": draw.integers(2, size=(4, sequences)).astype(np.int32),
        "next_sentence_weights": (np.arange(sequences) < np.array([[3], [1], [2], [1]])).astype(np.float32),
    }
    return batch, {"next_sentence": draw.normal(size=(4, sequences, 2)).astype(np.float32)}


@pytest.mark.parametrize("sequences", [1, 3])
def test_sequences_that_are_there_count_alike(sequences: int) -> None:
    batch, outputs = make_batch(sequences)
    losses, right = [], []
    for row, column in np.argwhere(batch["next_sentence_weights"] > 0):
        logits = outputs["next_sentence"][row, column].astype(np.float64)
        label = batch["next_sentence_labels"][row, column]
        losses.append(np.log(np.exp(logits).sum()) - logits[label])
        right.append(logits.argmax() == label)
    scored = NEXT_SENTENCE.score(batch, outputs)
    assert scored is not None
    assert float(NEXT_SENTENCE.loss(scored)) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(NEXT_SENTENCE.loss(scored, 20.0)) == pytest.approx(np.sum(losses) / 20, rel=1e-5)
    assert float(NEXT_SENTENCE.total_weight(batch)) == len(losses) == (7 if sequences == 3 else 4)
    sums = {name: float(value) for name, value in NEXT_SENTENCE.sums(scored).items()}
    expected = {"sentence_loss": np.sum(losses), "sentence_correct": np.sum(right), "sentence_weight": len(losses)}
    assert sums == pytest.approx(expected, rel=1e-5)
    accuracy, mean = NEXT_SENTENCE.build_metrics()
    accuracy.update_state(scored.predictions.labels, scored.predictions.logits, scored.predictions.weights)
    mean.update_state(scored.losses, sample_weight=scored.predictions.weights)
    assert float(accuracy.result()) == pytest.approx(np.mean(right))
    assert float(mean.result()) == pytest.approx(np.mean(losses), rel=1e-5)


def test_without_weights_each_example_counts_once() -> None:
    batch, outputs = make_batch(1)
    packed = NEXT_SENTENCE.score(batch, outputs)
    del batch["next_sentence_weights"]
    single = NEXT_SENTENCE.score(batch, {"next_sentence": outputs["next_sentence"][:, 0]})
    assert packed is not None
    assert single is not None
    np.testing.assert_array_equal(single.predictions.weights, tf.ones(4))
    np.testing.assert_array_equal(single.losses, packed.losses[:, 0])
    assert float(NEXT_SENTENCE.total_weight(batch)) == 4
