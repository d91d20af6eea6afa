from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.loop.validation import build_evaluator
from pipeline.training.objectives.registry import OBJECTIVES


class Lookup:
    """In the place of task and model: gives back logits that lie in the batch."""

    objectives = OBJECTIVES

    def forward(self, batch: Any, model: Any, *, training: bool) -> Any:
        assert not training
        outputs = {"mlm_logits": batch["logits"]}
        if "sentence_logits" in batch:
            outputs["next_sentence"] = batch["sentence_logits"]
        return batch, outputs


def make_batches(sizes: list[int], *, sentences: bool = True) -> list[dict[str, Any]]:
    rng = np.random.default_rng(4)
    total = sum(sizes)
    columns = {
        "logits": rng.normal(size=(total, 3, 6)).astype(np.float32),
        "masked_lm_ids": rng.integers(0, 6, size=(total, 3)).astype(np.int32),
        "masked_lm_weights": (np.arange(3) < rng.integers(1, 4, size=(total, 1))).astype(np.float32),
    }
    columns["input_word_ids"] = rng.integers(0, 6, size=(total, 5)).astype(np.int32)
    columns["masked_lm_positions"] = rng.integers(0, 5, size=(total, 3)).astype(np.int32)
    if sentences:
        columns["sentence_logits"] = rng.normal(size=(total, 2)).astype(np.float32)
        columns["next_sentence_labels"] = rng.integers(0, 2, size=(total, 1)).astype(np.int32)
    splits = np.cumsum(sizes)[:-1]
    parts = {name: np.split(column, splits) for name, column in columns.items()}
    return [{name: tf.constant(part[i]) for name, part in parts.items()} for i in range(len(sizes))]


def evaluate(batches: list[dict[str, Any]]) -> dict[str, float]:
    evaluation = build_evaluator(Lookup(), None, batches, mask_id=4)()
    weights = [float(batch["masked_lm_weights"].numpy().sum()) for batch in batches]
    assert sum(counts.sum() for counts in evaluation.histograms.values()) == sum(weights)
    return evaluation.means


def test_results_do_not_depend_on_batches() -> None:
    whole = evaluate(make_batches([7]))
    split = evaluate(make_batches([4, 2, 1]))
    assert whole == {name: pytest.approx(value, rel=1e-5) for name, value in split.items()}


def test_results_by_hand() -> None:
    (batch,) = make_batches([5])
    results = evaluate([batch])
    losses, right = [], []
    for row in range(5):
        for column in range(3):
            if batch["masked_lm_weights"][row, column] > 0:
                logits = batch["logits"][row, column].numpy().astype(np.float64)
                label = int(batch["masked_lm_ids"][row, column])
                losses.append(np.log(np.exp(logits).sum()) - logits[label])
                right.append(logits.argmax() == label)
    assert results["lm_example_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert results["masked_lm_accuracy"] == pytest.approx(np.mean(right))
    truth = batch["next_sentence_labels"].numpy()[:, 0]
    guesses = batch["sentence_logits"].numpy().argmax(-1)
    assert results["next_sentence_accuracy"] == pytest.approx((guesses == truth).mean())
    assert results["loss"] == pytest.approx(results["lm_example_loss"] + results["next_sentence_loss"])


def test_without_sentences() -> None:
    results = evaluate(make_batches([3], sentences=False))
    assert set(results) == {"loss", "lm_example_loss", "masked_lm_accuracy"}
    assert results["loss"] == results["lm_example_loss"]
