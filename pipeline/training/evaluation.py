"""Exact evaluation: every example once, every prediction of equal weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf


def build_evaluator(task: Any, model: Any, dataset: Iterable[Mapping[str, Any]]) -> Callable[[], dict[str, float]]:
    """Makes a function that evaluates `model`, as it is when called, on a dataset.

    tensorflow/models averages the losses of batches; here the sums over all predictions and all
    examples are divided at the end, so that the result does not depend on how they were batched.

    Args:
        task: a `MaskedLMTask`.
        model: its model.
        dataset: batches, finite.

    Returns:
        A function that returns `loss`, `lm_example_loss`,
        `masked_lm_accuracy` and, with that head, `next_sentence_loss` and
        `next_sentence_accuracy`: means in nats, shares in [0, 1].
    """

    @tf.function(reduce_retracing=True)
    def sums(batch: Mapping[str, Any]) -> dict[str, Any]:
        labels, outputs = task.forward(batch, model, training=False)
        weights = labels["masked_lm_weights"]
        totals = _sums(labels["masked_lm_ids"], outputs["mlm_logits"], weights, "lm")
        if "next_sentence_labels" in labels and "next_sentence" in outputs:
            truth = tf.reshape(labels["next_sentence_labels"], [-1])
            ones = tf.ones_like(truth, tf.float32)
            totals.update(_sums(truth, outputs["next_sentence"], ones, "sentence"))
        return totals

    def evaluate() -> dict[str, float]:
        totals: dict[str, float] = {}
        for batch in dataset:
            for name, value in sums(batch).items():
                totals[name] = totals.get(name, 0.0) + float(value)
        results = {
            "lm_example_loss": totals["lm_loss"] / totals["lm_weight"],
            "masked_lm_accuracy": totals["lm_correct"] / totals["lm_weight"],
        }
        results["loss"] = results["lm_example_loss"]
        if "sentence_loss" in totals:
            weight = totals["sentence_weight"]
            results["next_sentence_loss"] = totals["sentence_loss"] / weight
            results["next_sentence_accuracy"] = totals["sentence_correct"] / weight
            results["loss"] += results["next_sentence_loss"]
        return results

    return evaluate


def _sums(labels: Any, logits: Any, weights: Any, name: str) -> dict[str, Any]:
    """Sums over a batch of losses, of right guesses and of weights."""
    logits = tf.cast(logits, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    right = tf.cast(tf.equal(tf.argmax(logits, -1, tf.int32), tf.cast(labels, tf.int32)), tf.float32)
    return {
        f"{name}_loss": tf.reduce_sum(losses * weights),
        f"{name}_correct": tf.reduce_sum(right * weights),
        f"{name}_weight": tf.reduce_sum(weights),
    }
