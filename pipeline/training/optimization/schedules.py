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


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class WarmupStableDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up to the peak, the peak, and a decay over the last steps.

    With `t` the share of the decay that is past, in [0, 1], the learning rate of the decay is

    - "1-sqrt": `end + (peak - end) * (1 - sqrt(t))` (Haegele et al., 2024, https://arxiv.org/abs/2405.18392)
    - "linear": `end + (peak - end) * (1 - t)`

    The warm-up rises from `warmup_start * peak` at step 0 to the peak at step `warmup_steps`. From 0, it begins with
    the rate of step 1, as that of `WarmupDecay`. A decay that begins with the end of the warm-up makes a triangle.

    Args:
        learning_rate: the peak.
        train_steps: step at which the decay ends.
        warmup_steps: steps of warm-up.
        decay_steps: steps of the decay.
        end_learning_rate: where the decay ends.
        form: its form.
        warmup_start: where the warm-up starts, as a share of the peak.

    Raises:
        ConfigError: for a form that is not among these, or if warm-up and decay overlap.
    """

    def __init__(
        self,
        learning_rate: float,
        train_steps: int,
        warmup_steps: int,
        decay_steps: int,
        end_learning_rate: float = 0.0,
        form: str = "1-sqrt",
        warmup_start: float = 0.0,
    ) -> None:
        if form not in ("1-sqrt", "linear"):
            raise ConfigError("form must be 1-sqrt or linear", received=repr(form))
        if warmup_steps + decay_steps > train_steps:
            raise ConfigError(
                f"warmup_steps and decay_steps must add up to at most {train_steps:,}, the train_steps",
                received=f"{warmup_steps:,} and {decay_steps:,}",
            )
        self.learning_rate = learning_rate
        self.train_steps = train_steps
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.form = form
        self.warmup_start = warmup_start

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        # A difference of whole numbers: exact, whatever the steps before.
        into = tf.clip_by_value(step - float(self.train_steps - self.decay_steps), 0.0, float(self.decay_steps))
        past = into / max(self.decay_steps, 1)
        left = 1.0 - (tf.sqrt(past) if self.form == "1-sqrt" else past)
        rate = (self.learning_rate - self.end_learning_rate) * left + self.end_learning_rate
        if not self.warmup_steps:
            return rate
        risen = tf.maximum(step, 0.0 if self.warmup_start else 1.0) / self.warmup_steps
        warmed = self.learning_rate * (self.warmup_start + (1.0 - self.warmup_start) * risen)
        return tf.where(step < self.warmup_steps, warmed, rate)

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "train_steps": self.train_steps,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "form": self.form,
            "warmup_start": self.warmup_start,
        }


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class Restarted(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that begins at a later step: what it is at step `t` is what `schedule` is at `t - start`.

    Args:
        schedule: the schedule.
        start: the step at which it begins; before, it is what it is there.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, start: int) -> None:
        self.schedule = schedule
        self.start = start

    def __call__(self, step: Any) -> Any:
        return self.schedule(tf.maximum(tf.cast(step, tf.float32) - float(self.start), 0.0))

    def get_config(self) -> dict[str, Any]:
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "start": self.start}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Restarted:
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["start"])
