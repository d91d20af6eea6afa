"""How far a training has come, for schedules and for its log."""

from __future__ import annotations

from typing import Any, NamedTuple


class Clock(NamedTuple):
    """Variables that a schedule may read in its graph; a checkpoint holds them, so that a resumed run reads the same.

    Attributes:
        step: int64, steps made.
        tokens: int64, real tokens trained on.
        seconds: float64, wall time of training steps, those that compile left out.
    """

    step: Any
    tokens: Any
    seconds: Any

    @classmethod
    def create(cls) -> Clock:
        """A clock at zero."""
        import tensorflow as tf

        return cls(*(tf.Variable(0, dtype=dtype, trainable=False) for dtype in (tf.int64, tf.int64, tf.float64)))
