"""Exponential moving averages of weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf


class WeightAverage:
    """The exponential moving average of a model's weights, in float32.

    After the update of step `t`, counted from 1,

        average += (1 - d) * (weight - average), with d = min(decay, (1 + t) / (10 + t))

    as tensorflow/models' `ExponentialMovingAverage` with `dynamic_decay`: at first the average follows the weights, so
    that it soon forgets the random ones. Keras's `use_ema` has no such start, and its averages are not to be told from
    the optimiser's other variables.

    Made in the scope of the weights' strategy. The averages start as the weights are then; see `restart`.

    Args:
        weights: what to average: trainable weights of a model.
        decay: `decay`, in [0, 1).
    """

    def __init__(self, weights: Sequence[keras.Variable], decay: float) -> None:
        self._decay = decay
        self._weights = list(weights)
        self._averages = [
            keras.Variable(
                tf.convert_to_tensor(weight.value),
                dtype="float32",
                trainable=False,
                name=f"{weight.path.replace('/', '_')}_average",
            )
            for weight in self._weights
        ]

    @property
    def variables(self) -> dict[str, keras.Variable]:
        """The averages, by the paths of their weights."""
        return {weight.path: average for weight, average in zip(self._weights, self._averages, strict=True)}

    def restart(self) -> None:
        """Sets the averages to the weights as they are."""
        for weight, average in zip(self._weights, self._averages, strict=True):
            average.assign(weight.value)

    def update(self, strategy: tf.distribute.Strategy, step: Any) -> None:
        """Takes the weights in, after the update of `step`, counted from 1."""
        # 1 - d, computed as such: a decay near 1 would lose digits.
        new = tf.maximum(1.0 - self._decay, 9.0 / (10.0 + tf.cast(step, tf.float32)))
        for weight, average in zip(self._weights, self._averages, strict=True):
            strategy.extended.update(
                average.value,
                lambda average, weight, new: average.assign_add(new * (tf.cast(weight, tf.float32) - average)),
                args=(weight.value, new),
                group=False,
            )

    def use(self) -> None:
        """Sets the weights to their averages."""
        for weight, average in zip(self._weights, self._averages, strict=True):
            weight.assign(average.value)

    @contextlib.contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """Lets weights and averages change places for the length of a `with` block; takes no further memory."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for weight, average in zip(self._weights, self._averages, strict=True):
            held = tf.identity(weight.value)
            weight.assign(average.value)
            average.assign(held)
