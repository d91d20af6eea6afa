"""Exact evaluation: every example once, every prediction of equal weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.errors import CorpusError
from pipeline.training.data.loader import readable
from pipeline.training.objectives.histograms import BINS, KINDS, probability_histograms
from pipeline.training.objectives.sums import SUM_NAMES, batch_sums, means


class Evaluation(NamedTuple):
    """What an evaluation comes to.

    Attributes:
        means: what `batch_sums.means` gives.
        histograms: what `probability_histograms` gives, over all batches.
    """

    means: dict[str, float]
    histograms: np.ndarray


def build_evaluator(
    task: Any, model: Any, dataset: Iterable[Mapping[str, Any]], mask_id: int, strategy: Any = None
) -> Callable[[], Evaluation]:
    """Makes a function that evaluates `model`, as it is when called, on a dataset.

    tensorflow/models averages the losses of batches; here the sums over all predictions and all
    examples are divided at the end, so that the result does not depend on how they were batched.

    Args:
        task: a `MaskedLMTask`.
        model: its model.
        dataset: batches, finite; of `strategy`, if there is one.
        mask_id: id of `[MASK]`.
        strategy: of `tf.distribute`, whose devices share the work.

    Returns:
        The function.
    """
    strategy = strategy or tf.distribute.get_strategy()

    def replica_sums(batch: Mapping[str, Any]) -> dict[str, Any]:
        nothing: dict[str, Any] = {name: tf.constant(0.0) for name in SUM_NAMES}
        nothing["histograms"] = tf.zeros([len(KINDS), BINS])

        def sums() -> dict[str, Any]:
            labels, outputs = task.forward(batch, model, training=False)
            histograms = probability_histograms(batch, outputs, mask_id)
            return {**nothing, **batch_sums(labels, outputs), "histograms": histograms}

        # Once the data are at an end, a device may be given a batch of no examples and of no length.
        return tf.cond(tf.size(batch["masked_lm_ids"]) > 0, sums, lambda: nothing)

    # The signature keeps batches of many lengths to one trace.
    spec = getattr(dataset, "element_spec", None)

    @tf.function(input_signature=None if spec is None else [spec], reduce_retracing=True)
    def sums(batch: Mapping[str, Any]) -> dict[str, Any]:
        by_replica = strategy.run(replica_sums, args=(batch,))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for name, value in by_replica.items()
        }

    def evaluate() -> Evaluation:
        totals: dict[str, Any] = {}
        for batch in readable(dataset):
            for name, value in sums(batch).items():
                totals[name] = totals.get(name, 0.0) + value.numpy().astype(np.float64)
        if not totals:
            raise CorpusError("There must be examples to evaluate on", received="no batch")
        histograms = totals.pop("histograms")
        return Evaluation(means({name: float(value) for name, value in totals.items()}), histograms)

    return evaluate
