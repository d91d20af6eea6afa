"""The optimiser and its learning rate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.configs import OptimizerConfig


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up into a linear decay, as tensorflow/models' polynomial warm-up and decay.

    The decay runs from step 0 to `decay_steps`; the warm-up rises to where the decay has come to by
    its end: `decay(warmup_steps) * max(step, 1) / warmup_steps`.

    Args:
        learning_rate: where the decay starts.
        decay_steps: step at which it ends.
        warmup_steps: steps of warm-up.
        end_learning_rate: where the decay ends.
    """

    def __init__(
        self,
        learning_rate: float,
        decay_steps: int,
        warmup_steps: int = 0,
        end_learning_rate: float = 0.0,
    ) -> None:
        self.learning_rate = learning_rate
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps
        self.end_learning_rate = end_learning_rate

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        if not self.warmup_steps:
            return self._decayed(step)
        peak = self._decayed(float(self.warmup_steps))
        warmed = peak * tf.maximum(step, 1.0) / self.warmup_steps
        return tf.where(step < self.warmup_steps, warmed, self._decayed(step))

    def _decayed(self, step: Any) -> Any:
        left = 1.0 - tf.minimum(step, float(self.decay_steps)) / self.decay_steps
        return (self.learning_rate - self.end_learning_rate) * left + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
            "end_learning_rate": self.end_learning_rate,
        }


def build_optimizer(
    config: OptimizerConfig, train_steps: int, variables: Sequence[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Builds the optimiser with its slots for `variables`.

    AdamW decays weights apart from the gradient (https://arxiv.org/abs/1711.05101), those excluded
    by `config.exclude_from_weight_decay` not at all, as google-research/bert does.

    Args:
        config: what to build.
        train_steps: step at which the learning rate has come to its end.
        variables: what will be trained.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate=WarmupLinearDecay(
            config.learning_rate, train_steps, config.warmup_steps, config.end_learning_rate
        ),
        weight_decay=config.weight_decay_rate,
        beta_1=config.beta_1,
        beta_2=config.beta_2,
        epsilon=config.epsilon,
        global_clipnorm=config.gradient_clip_norm or None,
        name="adamw",  # Fixed: its variables go by it in checkpoints.
    )
    # By path: the name alone, "gamma" or "bias", does not tell whose it is.
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in variables if is_excluded(v.path, config.exclude_from_weight_decay)]
    )
    optimizer.build(list(variables))
    return optimizer


def is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """Whether a weight, by its path, matches one of the patterns."""
    return any(re.search(pattern, path) for pattern in patterns)
