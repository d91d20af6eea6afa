"""Learning rates over the steps."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from pipeline.errors import ConfigError


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up into a decay, as tensorflow/models' `PolynomialWarmUp` around its decays.

    With `t = min(step, decay_steps) / decay_steps`, the decay has come to

    - "linear": `end + (start - end) * (1 - t)`
    - "polynomial": `end + (start - end) * (1 - t) ** power`
    - "cosine": `end + (start - end) * (1 + cos(pi * t)) / 2` (https://arxiv.org/abs/1608.03983)
    - "constant": `start`

    It runs from step 0; the warm-up rises to where it has come to by the warm-up's end:
    `decay(warmup_steps) * max(step, 1) / warmup_steps`.

    Args:
        learning_rate: where the decay starts.
        decay_steps: step at which it ends.
        warmup_steps: steps of warm-up.
        end_learning_rate: where the decay ends.
        decay: its form.
        power: of the polynomial decay.

    Raises:
        ConfigError: for a form that is not among these.
    """

    def __init__(
        self,
        learning_rate: float,
        decay_steps: int,
        warmup_steps: int = 0,
        end_learning_rate: float = 0.0,
        decay: str = "linear",
        power: float = 1.0,
    ) -> None:
        if decay not in ("linear", "polynomial", "cosine", "constant"):
            raise ConfigError("decay must be linear, polynomial, cosine or constant", received=repr(decay))
        self.learning_rate = learning_rate
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps
        self.end_learning_rate = end_learning_rate
        self.decay = decay
        self.power = power

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        if not self.warmup_steps:
            return self._decayed(step)
        peak = self._decayed(tf.constant(float(self.warmup_steps)))
        warmed = peak * tf.maximum(step, 1.0) / self.warmup_steps
        return tf.where(step < self.warmup_steps, warmed, self._decayed(step))

    def _decayed(self, step: Any) -> Any:
        past = tf.minimum(step, float(self.decay_steps)) / self.decay_steps
        left = {
            "linear": 1.0 - past,
            "polynomial": (1.0 - past) ** self.power,
            "cosine": 0.5 * (1.0 + tf.cos(math.pi * past)),
            "constant": tf.ones_like(past),
        }[self.decay]
        return (self.learning_rate - self.end_learning_rate) * left + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
            "end_learning_rate": self.end_learning_rate,
            "decay": self.decay,
            "power": self.power,
        }
