"""Exact evaluation: every example once, every prediction of equal weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.errors import CorpusError
from pipeline.training.data.loader import readable
from pipeline.training.objectives.base import batch_sums, means, score_all
from pipeline.training.objectives.masked_lm import BINS


class Evaluation(NamedTuple):
    """What an evaluation comes to.

    Attributes:
        means: `loss`, and the means of each objective.
        histograms: counts over all batches, float64 `[bins]`, by the objectives' names of them.
        by_source: means of each source, by its name; empty where there is one.
        example: a sentence whose masks the model filled, in Markdown; empty where none was asked for.
    """

    means: dict[str, float]
    histograms: dict[str, np.ndarray]
    by_source: dict[str, dict[str, float]]
    example: str = ""


def build_evaluator(
    task: Any,
    model: Any,
    dataset: Iterable[Mapping[str, Any]] | Mapping[str, Iterable[Mapping[str, Any]]],
    mask_id: int,
    strategy: Any = None,
) -> Callable[[], Evaluation]:
    """Makes a function that evaluates `model`, as it is when called, on a dataset.

    tensorflow/models averages the losses of batches; here the sums over all predictions and all
    examples are divided at the end, so that the result does not depend on how they were batched.

    Args:
        task: a `MaskedLMTask`.
        model: its model.
        dataset: batches, finite; of `strategy`, if there is one; or several such datasets, by the names of their
            sources, each with the same features.
        mask_id: id of `[MASK]`.
        strategy: of `tf.distribute`, whose devices share the work.

    Returns:
        The function.
    """
    strategy = strategy or tf.distribute.get_strategy()
    objectives = task.objectives
    histograms = {objective.name: objective.histogram_names for objective in objectives if objective.histogram_names}

    def replica_sums(batch: Mapping[str, Any]) -> dict[str, Any]:
        nothing: dict[str, Any] = {name: tf.constant(0.0) for objective in objectives for name in objective.sum_names}
        nothing |= {name: tf.zeros([len(rows), BINS]) for name, rows in histograms.items()}

        def sums() -> dict[str, Any]:
            labels, outputs = task.forward(batch, model, training=False)
            scored = score_all(objectives, labels, outputs)
            counts = {
                objective.name: objective.histograms(batch, scored[objective.name], mask_id)
                for objective in objectives
                if objective.name in histograms and objective.name in scored
            }
            return {**nothing, **batch_sums(objectives, scored), **counts}

        # Once the data are at an end, a device may be given a batch of no examples and of no length.
        return tf.cond(tf.size(batch["masked_lm_ids"]) > 0, sums, lambda: nothing)

    datasets = dataset if isinstance(dataset, Mapping) else {"": dataset}
    # The signature keeps batches of many lengths to one trace.
    spec = getattr(next(iter(datasets.values())), "element_spec", None)

    @tf.function(input_signature=None if spec is None else [spec], reduce_retracing=True)
    def sums(batch: Mapping[str, Any]) -> dict[str, Any]:
        by_replica = strategy.run(replica_sums, args=(batch,))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for name, value in by_replica.items()
        }

    def add_up(batches: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        totals: dict[str, Any] = {}
        for batch in readable(batches):
            for name, value in sums(batch).items():
                totals[name] = totals.get(name, 0.0) + value.numpy().astype(np.float64)
        if not totals:
            raise CorpusError("Validation needs at least one batch of examples", received="no batch")
        return totals

    def means_of(totals: Mapping[str, Any]) -> dict[str, float]:
        return means(objectives, {name: float(totals[name]) for name in totals if name not in histograms})

    def evaluate() -> Evaluation:
        of_sources = {source: add_up(batches) for source, batches in datasets.items()}
        totals = {name: sum(part[name] for part in of_sources.values()) for name in next(iter(of_sources.values()))}
        counted = {name: row for key, names in histograms.items() for name, row in zip(names, totals[key], strict=True)}
        by_source = {source: means_of(part) for source, part in of_sources.items()} if len(of_sources) > 1 else {}
        return Evaluation(means_of(totals), counted, by_source)

    return evaluate
