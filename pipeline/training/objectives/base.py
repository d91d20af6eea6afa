"""What an objective is: the loss of one head, and everything that is reported about it."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    import keras

Batch = Mapping[str, Any]


class Predictions(NamedTuple):
    """What a head predicts in a batch.

    Attributes:
        labels: integers `[...]`, the right classes.
        logits: `[..., num_classes]`.
        weights: float32 `[...]`, 0 for padding.
    """

    labels: Any
    logits: Any
    weights: Any


class Scored(NamedTuple):
    """Predictions with their losses; computed once per step and shared by all that needs them.

    Attributes:
        predictions: what was predicted; the logits are float32.
        losses: float32 `[...]`, the cross-entropy of each prediction, in nats.
    """

    predictions: Predictions
    losses: Any


@dataclass(frozen=True)
class Objective(abc.ABC):
    """The loss of one head, with its sums, its metrics, its rows of tables and its histograms.

    Subclasses say where predictions and labels are found, with `predictions` and `total_weight`. The default loss is
    the cross-entropy, weighted, over the total weight of the whole batch.

    Args:
        name: of the head; key of its results.
        title: of its rows in tables, before "loss" and "accuracy".
        loss_name: of its mean loss in logs and metrics.
        accuracy_name: of its accuracy there.
        prefix: of its sums in checkpoints, which must not change.
        labels: the features of a batch without which there is nothing to learn from.
    """

    name: str
    title: str
    loss_name: str
    accuracy_name: str
    prefix: str
    labels: tuple[str, ...]

    # Names of what `histograms` counts, for TensorBoard; a batch has one row of `BINS` for each.
    histogram_names: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def predictions(self, labels: Batch, outputs: Mapping[str, Any]) -> Predictions | None:
        """The predictions of a batch; None if the batch has no labels for them, or the model no such head.

        Args:
            labels: features and labels, as `MaskedLMTask.forward` returns them.
            outputs: the model's outputs.
        """

    @abc.abstractmethod
    def total_weight(self, batch: Batch) -> Any:
        """The sum of the weights of a batch's predictions, a float32 scalar, before anything is computed."""

    def score(self, labels: Batch, outputs: Mapping[str, Any]) -> Scored | None:
        """The losses of a batch; None if there are no predictions."""
        import tensorflow as tf

        found = self.predictions(labels, outputs)
        if found is None:
            return None
        found = found._replace(logits=tf.cast(found.logits, tf.float32))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=found.labels, logits=found.logits)
        return Scored(found, losses)

    def loss(self, scored: Scored, total: Any = None) -> Any:
        """The mean loss, a float32 scalar.

        Args:
            scored: what `score` returned.
            total: the weight to divide by, a float32 scalar; by default that of `scored`. A part of a larger batch is
                given the larger batch's, so that the losses of the parts add up to the larger batch's.
        """
        import tensorflow as tf

        weights = scored.predictions.weights
        # A device may get no example of a small last batch.
        return tf.math.divide_no_nan(
            tf.reduce_sum(scored.losses * weights), tf.reduce_sum(weights) if total is None else total
        )

    @property
    def sum_names(self) -> tuple[str, ...]:
        """Names of what `sums` returns."""
        return tuple(f"{self.prefix}_{of}" for of in ("loss", "correct", "weight"))

    def sums(self, scored: Scored) -> dict[str, Any]:
        """Sums over a batch, which add up over batches, parts of them and devices as means do not.

        Returns:
            float32 scalars by `sum_names`: of losses in nats, of right predictions, of weights.
        """
        import tensorflow as tf

        labels, logits, weights = scored.predictions
        correct = tf.cast(tf.equal(tf.argmax(logits, -1, tf.int32), tf.cast(labels, tf.int32)), tf.float32)
        values = (scored.losses * weights, correct * weights, weights)
        return {name: tf.reduce_sum(value) for name, value in zip(self.sum_names, values, strict=True)}

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The mean loss (nats) and the accuracy (in [0, 1]) that sums over batches come to; empty without predictions.

        The mean loss is called `loss_name`; the total loss of a model is the sum over its objectives.
        """
        loss, correct, weight = (sums.get(name, 0.0) for name in self.sum_names)
        return {self.loss_name: loss / weight, self.accuracy_name: correct / weight} if weight else {}

    def build_metrics(self) -> list[keras.metrics.Metric]:
        """Metrics of `accuracy_name` and `loss_name`, in this order."""
        import keras

        return [
            keras.metrics.SparseCategoricalAccuracy(name=self.accuracy_name),
            keras.metrics.Mean(name=self.loss_name),
        ]

    def histograms(self, batch: Batch, scored: Scored, mask_id: int) -> Any:
        """Histograms of a batch, float32 `[len(histogram_names), bins]`; they add up over batches.

        Args:
            batch: the batch as it was read.
            scored: what `score` returned.
            mask_id: id of `[MASK]`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ClassificationObjective(Objective):
    """Classes of whole examples, predicted by a classification head; `labels` names the one feature that holds them.

    Args:
        weights: the feature of packed batches that holds the labels' weights, 0 for padding. Labels and weights are
            then `[batch, sequences]`, logits `[batch, sequences, num_classes]`. In other batches each example counts
            once.
    """

    weights: str = ""

    def predictions(self, labels: Batch, outputs: Mapping[str, Any]) -> Predictions | None:
        import tensorflow as tf

        (label,) = self.labels
        if label not in labels or self.name not in outputs:
            return None
        if self.weights in labels:
            return Predictions(labels[label], outputs[self.name], labels[self.weights])
        classes = tf.reshape(labels[label], [-1])
        return Predictions(classes, outputs[self.name], tf.ones_like(classes, tf.float32))

    def total_weight(self, batch: Batch) -> Any:
        import tensorflow as tf

        if self.weights in batch:
            return tf.reduce_sum(batch[self.weights])
        return tf.cast(tf.shape(batch["input_word_ids"])[0], tf.float32)


def score_all(objectives: Iterable[Objective], labels: Batch, outputs: Mapping[str, Any]) -> dict[str, Scored]:
    """What each objective scores in a batch, by its name; those without predictions are left out."""
    scored = {objective.name: objective.score(labels, outputs) for objective in objectives}
    return {name: value for name, value in scored.items() if value is not None}


def batch_sums(objectives: Iterable[Objective], scored: Mapping[str, Scored]) -> dict[str, Any]:
    """The sums of all objectives that scored something."""
    return {
        name: value
        for objective in objectives
        if objective.name in scored
        for name, value in objective.sums(scored[objective.name]).items()
    }


def means(objectives: Iterable[Objective], sums: Mapping[str, float]) -> dict[str, float]:
    """The means of all objectives, and `loss`, the sum of their mean losses."""
    results: dict[str, float] = {"loss": 0.0}
    for objective in objectives:
        found = objective.means(sums)
        results |= found
        results["loss"] += found.get(objective.loss_name, 0.0)
    return results
