"""Learning-rate schedules under the names of tensorflow/models' `lr_schedule`, for `OptimizerFactory`.

`pretrain` has a schedule of its own, `pipeline.training.optimization.schedules.WarmupDecay`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

_register = keras.saving.register_keras_serializable(package="mlm_pipeline")


def _with_offset(base: type[LearningRateSchedule]) -> type[LearningRateSchedule]:
    """A schedule of Keras's that begins after some steps."""

    class WithOffset(base):
        base_lr_class = base

        def __init__(self, *args: Any, offset: int = 0, **kwargs: Any) -> None:
            """Makes the schedule.

            Args:
                *args: of the schedule that this one delays.
                offset: steps by which it is delayed.
                **kwargs: of the schedule that this one delays.
            """
            super().__init__(*args, **kwargs)
            self.offset = offset

        def __call__(self, step: Any) -> Any:
            return super().__call__(step - self.offset)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "offset": self.offset}

    WithOffset.__name__ = WithOffset.__qualname__ = f"{base.__name__}WithOffset"
    WithOffset.__doc__ = f"`keras.optimizers.schedules.{base.__name__}`, `offset` steps later."
    return _register(WithOffset)


PiecewiseConstantDecayWithOffset = _with_offset(keras.optimizers.schedules.PiecewiseConstantDecay)
PolynomialDecayWithOffset = _with_offset(keras.optimizers.schedules.PolynomialDecay)
ExponentialDecayWithOffset = _with_offset(keras.optimizers.schedules.ExponentialDecay)
CosineDecayWithOffset = _with_offset(keras.optimizers.schedules.CosineDecay)


class _Warmup(LearningRateSchedule):
    """A warm-up before another schedule, which runs from step 0 as well.

    Args:
        after_warmup_lr_sched: that schedule, or a rate.
        warmup_steps: steps of the warm-up.
        name: name of the schedule.
    """

    def __init__(self, after_warmup_lr_sched: Any, warmup_steps: int, name: str | None = None) -> None:
        if isinstance(after_warmup_lr_sched, dict):  # From `get_config`.
            after_warmup_lr_sched = keras.saving.deserialize_keras_object(after_warmup_lr_sched)
        self.after_warmup_lr_sched = after_warmup_lr_sched
        self.warmup_steps = warmup_steps
        self.name = name

    def __call__(self, step: Any) -> Any:
        done = tf.cast(step, tf.float32)
        warmed = self._warmed(done, self._after_warmup(self.warmup_steps))
        return tf.where(done < self.warmup_steps, warmed, self._after_warmup(step))

    def _after_warmup(self, step: Any) -> Any:
        after = self.after_warmup_lr_sched
        return tf.cast(after(step) if isinstance(after, LearningRateSchedule) else after, tf.float32)

    def _warmed(self, done: Any, peak: Any) -> Any:
        """The rate after some steps of warm-up, of which `peak` is the end."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        after = self.after_warmup_lr_sched
        if isinstance(after, LearningRateSchedule):
            after = keras.saving.serialize_keras_object(after)
        return {"after_warmup_lr_sched": after, "warmup_steps": self.warmup_steps, "name": self.name}


@_register
class LinearWarmup(_Warmup):
    """`start + step / warmup_steps * (peak - start)`, then a schedule.

    Args:
        after_warmup_lr_sched: that schedule, or a rate; its value after the warm-up is the peak.
        warmup_steps: steps of the warm-up.
        warmup_learning_rate: its start.
        name: name of the schedule.
    """

    def __init__(
        self,
        after_warmup_lr_sched: Any,
        warmup_steps: int,
        warmup_learning_rate: float,
        name: str | None = None,
    ) -> None:
        super().__init__(after_warmup_lr_sched, warmup_steps, name)
        self.warmup_learning_rate = warmup_learning_rate

    def _warmed(self, done: Any, peak: Any) -> Any:
        return self.warmup_learning_rate + done / self.warmup_steps * (peak - self.warmup_learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "warmup_learning_rate": self.warmup_learning_rate}


@_register
class PolynomialWarmUp(_Warmup):
    """`peak * (max(step, 1) / warmup_steps) ** power`, then a schedule.

    Args:
        after_warmup_lr_sched: that schedule, or a rate; its value after the warm-up is the peak.
        warmup_steps: steps of the warm-up.
        power: of the polynomial.
        name: name of the schedule.
    """

    def __init__(
        self, after_warmup_lr_sched: Any, warmup_steps: int, power: float = 1.0, name: str = "PolynomialWarmup"
    ) -> None:
        super().__init__(after_warmup_lr_sched, warmup_steps, name)
        self.power = power

    def _warmed(self, done: Any, peak: Any) -> Any:
        return peak * (tf.maximum(done, 1.0) / max(self.warmup_steps, 1)) ** self.power

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power}


@_register
class DirectPowerDecay(LearningRateSchedule):
    """`initial_learning_rate * max(step, 1) ** power`.

    Args:
        initial_learning_rate: the rate at step 1.
        power: a negative number decays.
        name: name of the schedule.
    """

    def __init__(self, initial_learning_rate: float, power: float = 1.0, name: str = "DirectPowerDecay") -> None:
        self.initial_learning_rate = initial_learning_rate
        self.power = power
        self.name = name

    def __call__(self, step: Any) -> Any:
        return self.initial_learning_rate * tf.maximum(tf.cast(step, tf.float32), 1.0) ** self.power

    def get_config(self) -> dict[str, Any]:
        return {"initial_learning_rate": self.initial_learning_rate, "power": self.power, "name": self.name}


@_register
class PowerAndLinearDecay(LearningRateSchedule):
    """`initial_learning_rate * max(step - offset, 1) ** power`, and at its end linearly to 0.

    Args:
        initial_learning_rate: the rate until a step after the offset.
        total_decay_steps: steps after the offset at which the rate is 0.
        power: a negative number decays.
        linear_decay_fraction: the last share of these steps, in which the rate is multiplied by what is left of it.
        offset: steps before the decay.
        name: name of the schedule.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        total_decay_steps: int,
        power: float = 1.0,
        linear_decay_fraction: float = 0.1,
        offset: int = 0,
        name: str = "PowerAndLinearDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.total_decay_steps = total_decay_steps
        self.power = power
        self.linear_decay_fraction = linear_decay_fraction
        self.offset = offset
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step - self.offset, tf.float32)
        rate = self.initial_learning_rate * tf.maximum(step, 1.0) ** self.power
        linear_steps = self.total_decay_steps * self.linear_decay_fraction
        if linear_steps <= 0:
            return rate
        return rate * tf.clip_by_value((self.total_decay_steps - step) / linear_steps, 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "total_decay_steps": self.total_decay_steps,
            "power": self.power,
            "linear_decay_fraction": self.linear_decay_fraction,
            "offset": self.offset,
            "name": self.name,
        }


@_register
class PowerDecayWithOffset(LearningRateSchedule):
    """`initial_learning_rate * (step - offset) ** power`, and a constant until the offset and at most.

    Args:
        initial_learning_rate: the rate a step after the offset.
        power: a negative number decays.
        offset: steps before the decay.
        pre_offset_learning_rate: the rate until then, and the highest.
        name: name of the schedule.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        power: float = 1.0,
        offset: int = 0,
        pre_offset_learning_rate: float = 1.0e6,
        name: str = "PowerDecayWithOffset",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.power = power
        self.offset = offset
        self.pre_offset_learning_rate = pre_offset_learning_rate
        self.name = name

    def __call__(self, step: Any) -> Any:
        past = tf.cast(step, tf.float32) - self.offset
        decayed = self.initial_learning_rate * tf.maximum(past, 1.0) ** self.power
        before = self.pre_offset_learning_rate
        return tf.where(past > 0, tf.minimum(decayed, before), before)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "power": self.power,
            "offset": self.offset,
            "pre_offset_learning_rate": self.pre_offset_learning_rate,
            "name": self.name,
        }


@_register
class StepCosineDecayWithOffset(LearningRateSchedule):
    """A half cosine from each value to the next, from each boundary to the next.

    Args:
        boundaries: ascending steps, counted from the offset, at which the values are reached.
        values: rates, one for each boundary; the schedule ends with the last.
        offset: steps before the decay.
        name: name of the schedule.

    Raises:
        ValueError: unless there are as many boundaries as values, one at least.
    """

    def __init__(
        self,
        boundaries: Sequence[int],
        values: Sequence[float],
        offset: int = 0,
        name: str = "StepCosineDecayWithOffset",
    ) -> None:
        if not values or len(boundaries) != len(values):
            raise ValueError(
                f"`boundaries` and `values` must have the same length, at least 1. Received: {len(boundaries)} and"
                f" {len(values)}."
            )
        self.boundaries = list(boundaries)
        self.values = list(values)
        self.offset = offset
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step - self.offset, tf.float32)
        rate = tf.constant(self.values[-1], tf.float32)
        for start, end, value, next_value in reversed(
            list(zip(self.boundaries, self.boundaries[1:], self.values, self.values[1:], strict=False))
        ):
            cosine = (1.0 + tf.cos(math.pi * (step - start) / (end - start))) / 2
            rate = tf.where(step < end, next_value + (value - next_value) * cosine, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values, "offset": self.offset, "name": self.name}
