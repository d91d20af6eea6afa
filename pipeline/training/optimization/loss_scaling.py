"""Scaling of the loss, which keeps small gradients from vanishing in float16."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.training.configs import RuntimeConfig

_INITIAL = 2.0**15
_GROWTH_INTERVAL = 2000  # Steps in a row whose gradients are finite.


class LossScale:
    """A factor of the loss, fixed or adapted to the gradients (https://arxiv.org/abs/1710.03740).

    Adapted, it is halved when a gradient overflows, that step being left out, and doubled after
    2000 steps in a row without, as Keras does. With other numbers than float16 it is 1.

    Args:
        config: the numbers' type, and the factor if it is fixed.
    """

    def __init__(self, config: RuntimeConfig) -> None:
        self.adapts = config.mixed_precision_dtype == "float16" and config.loss_scale is None
        initial = _INITIAL if self.adapts else config.loss_scale or 1.0
        self._value = tf.Variable(initial, dtype=tf.float32, trainable=False)
        self._good_steps = tf.Variable(0, dtype=tf.int64, trainable=False)

    @property
    def value(self) -> float:
        """The factor of the next step's loss."""
        return float(self._value)

    @property
    def tensor(self) -> Any:
        """The same in a graph, a float32 scalar."""
        return tf.convert_to_tensor(self._value)

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """What a checkpoint must hold, by name."""
        return {"loss_scale": self._value, "good_steps": self._good_steps}

    def update(self, finite: Any, counts: Any = True) -> Any:
        """Adapts the factor after a step; in a graph, too.

        Args:
            finite: whether its gradients were, a boolean scalar.
            counts: whether the step counts at all; else nothing changes.

        Returns:
            Whether training can continue, a boolean scalar: not if they overflowed and a smaller factor would not help.
        """
        finite = tf.convert_to_tensor(finite)
        if not self.adapts:
            return finite
        value, good_steps = tf.identity(self._value), self._good_steps + 1
        is_full = good_steps == _GROWTH_INTERVAL
        grown = tf.where(is_full & (value < 2.0**126), value * 2, value)  # The next but one is no float32.
        self._value.assign(tf.where(counts, tf.where(finite, grown, tf.maximum(value / 2, 1.0)), value))
        kept = tf.where(finite & ~is_full, good_steps, 0)
        self._good_steps.assign(tf.where(counts, kept, self._good_steps))
        return finite | (value > 1.0)
