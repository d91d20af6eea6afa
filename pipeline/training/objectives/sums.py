"""Sums over a batch, which add up over batches, parts of them and devices as means do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

SUM_NAMES = tuple(f"{head}_{of}" for head in ("lm", "sentence") for of in ("loss", "correct", "weight"))


def batch_sums(labels: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Sums of losses, of right guesses and of weights, for the masked-LM and the next-sentence head.

    Args:
        labels: `masked_lm_ids` and `masked_lm_weights` of the logits' shape; `next_sentence_labels`
            `[batch, 1]` if there are any.
        outputs: `mlm_logits`, `[..., vocab_size]`, and `next_sentence` `[batch, 2]` if there is that head.

    Returns:
        float32 scalars by those of `SUM_NAMES` that there is something for: `lm_loss` and
        `sentence_loss` in nats, right guesses as `..._correct`, weights as `..._weight`.
    """
    sums = _sums(labels["masked_lm_ids"], outputs["mlm_logits"], labels["masked_lm_weights"], "lm")
    if "next_sentence_labels" in labels and "next_sentence" in outputs:
        truth = tf.reshape(labels["next_sentence_labels"], [-1])
        sums.update(_sums(truth, outputs["next_sentence"], tf.ones_like(truth, tf.float32), "sentence"))
    return sums


def _sums(labels: Any, logits: Any, weights: Any, name: str) -> dict[str, Any]:
    logits = tf.cast(logits, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    right = tf.cast(tf.equal(tf.argmax(logits, -1, tf.int32), tf.cast(labels, tf.int32)), tf.float32)
    return {
        f"{name}_loss": tf.reduce_sum(losses * weights),
        f"{name}_correct": tf.reduce_sum(right * weights),
        f"{name}_weight": tf.reduce_sum(weights),
    }


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """The means that sums over all batches come to.

    Returns:
        `loss`, `lm_example_loss`, `masked_lm_accuracy` and, with that head, `next_sentence_loss` and
        `next_sentence_accuracy`: nats of a prediction or an example, and shares in [0, 1].
    """
    weight = sums["lm_weight"] or math.nan  # Examples of special tokens alone have nothing to predict.
    results = {
        "lm_example_loss": sums["lm_loss"] / weight,
        "masked_lm_accuracy": sums["lm_correct"] / weight,
    }
    results["loss"] = results["lm_example_loss"]
    if sums.get("sentence_weight"):
        results["next_sentence_loss"] = sums["sentence_loss"] / sums["sentence_weight"]
        results["next_sentence_accuracy"] = sums["sentence_correct"] / sums["sentence_weight"]
        results["loss"] += results["next_sentence_loss"]
    return results
