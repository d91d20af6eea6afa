"""Dropout whose randomness may be an argument."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

_CALLS = 1024  # Dropouts of one pass that have numbers of their own.
_scope = threading.local()  # A replica of tf.distribute is a thread.


@contextlib.contextmanager
def dropout_seed(seed: int, index: Any) -> Iterator[None]:
    """Makes every `Dropout` inside draw from the seed and the index alone.

    What is dropped is then a function of the two, the same after any interruption and on any number
    of devices, and nothing of it need be kept in checkpoints.

    Args:
        seed: the run's seed.
        index: integer scalar; the number of this pass through the model, never used twice.
    """
    previous = getattr(_scope, "keys", None)
    _scope.keys = _Keys(seed, index)
    try:
        yield
    finally:
        _scope.keys = previous


class _Keys:
    """Counts the dropouts of a pass, in the order in which they are called."""

    def __init__(self, seed: int, index: Any) -> None:
        self._seed = tf.constant(seed, tf.int64)
        self._first = tf.cast(index, tf.int64) * _CALLS
        self._calls = 0

    def next(self) -> Any:
        key = tf.stack([self._seed, self._first + self._calls])
        self._calls += 1
        return key


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class Dropout(keras.layers.Dropout):
    """Keras's dropout, which draws from `dropout_seed` where there is one around the call."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drops elements in training; see `keras.layers.Dropout`."""
        keys = getattr(_scope, "keys", None)
        if not training or not self.rate or keys is None:
            return super().call(inputs, training=training)
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed=keys.next(), rng_alg="philox")
