"""The optimiser that a configuration describes."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from pipeline.training.configs import OptimizerConfig
from pipeline.training.optimization.optimizers import LAMB, AdamW
from pipeline.training.optimization.schedules import WarmupDecay

_TYPES = {"adamw": AdamW, "lamb": LAMB}


def build_optimizer(
    config: OptimizerConfig, train_steps: int, variables: Sequence[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Builds the optimiser with its slots for `variables`.

    Args:
        config: what to build.
        train_steps: step at which the learning rate has come to its end.
        variables: what will be trained.
    """
    optimizer = _TYPES[config.type](
        learning_rate=WarmupDecay(
            config.learning_rate,
            train_steps,
            config.warmup_steps,
            config.end_learning_rate,
            config.decay,
            config.decay_power,
        ),
        weight_decay_rate=config.weight_decay_rate,
        beta_1=config.beta_1,
        beta_2=config.beta_2,
        epsilon=config.epsilon,
        exclude_from_weight_decay=config.exclude_from_weight_decay,
        global_clipnorm=config.gradient_clip_norm or None,
        name=config.type,  # Fixed: its variables go by it in checkpoints.
    )
    optimizer.build(list(variables))
    return optimizer
