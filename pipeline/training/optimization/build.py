"""The optimiser that a configuration describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from pipeline.training.configs import DECAYS, OptimizerConfig, TrainerConfig
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.muon import Muon
from pipeline.training.optimization.optimizers import LAMB, AdamW
from pipeline.training.optimization.schedules import Restarted, WarmupDecay, WarmupStableDecay
from pipeline.training.optimization.stable_adamw import StableAdamW

_TYPES = {"adamw": AdamW, "lamb": LAMB, "stable_adamw": StableAdamW, "muon": Muon}


def _warmup_decay(config: OptimizerConfig, train_steps: int, clock: Clock) -> WarmupDecay:
    """A schedule over the steps, which the optimiser counts by itself."""
    return WarmupDecay(
        config.learning_rate,
        train_steps,
        config.warmup_steps,
        config.end_learning_rate,
        config.decay,
        config.decay_power,
    )


def _warmup_stable_decay(config: OptimizerConfig, train_steps: int, clock: Clock) -> WarmupStableDecay:
    return WarmupStableDecay(
        config.learning_rate,
        train_steps,
        config.warmup_steps,
        config.steps_of_decay(train_steps),
        config.end_learning_rate,
        "linear" if config.decay == "triangle" else config.decay_form,
        config.warmup_start,
    )


# By `OptimizerConfig.decay`. A schedule is called with the optimiser's steps, and may read the clock as well.
BuildSchedule = Callable[[OptimizerConfig, int, Clock], keras.optimizers.schedules.LearningRateSchedule]
SCHEDULES: dict[str, BuildSchedule] = {
    **dict.fromkeys(DECAYS, _warmup_decay),
    "wsd": _warmup_stable_decay,
    "triangle": _warmup_stable_decay,
}


def build_schedule(
    trainer: TrainerConfig, clock: Clock | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the learning rate of a run over its steps.

    Args:
        trainer: its steps and its optimiser.
        clock: as for `build_optimizer`.
    """
    optimizer = trainer.optimizer
    schedule = SCHEDULES[optimizer.decay](optimizer, trainer.scheduled_steps, clock or Clock.create())
    return schedule if trainer.restart_step is None else Restarted(schedule, trainer.restart_step)


def build_optimizer(
    config: OptimizerConfig,
    train_steps: int,
    variables: Sequence[keras.Variable],
    clock: Clock | None = None,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> keras.optimizers.Optimizer:
    """Builds the optimiser with its slots for `variables`.

    Args:
        config: what to build.
        train_steps: step at which the learning rate has come to its end.
        variables: what will be trained.
        clock: how far the training has come, for schedules by tokens or by time; by default one that stays at zero.
        schedule: the learning rate; by default that of `config` over `train_steps`.
    """
    if schedule is None:
        schedule = SCHEDULES[config.decay](config, train_steps, clock or Clock.create())
    # Of one type alone.
    further: dict[str, Any] = {}
    if config.type == "muon":
        further = {"momentum": config.muon_momentum, "exclude_from_muon": config.exclude_from_muon}
    optimizer = _TYPES[config.type](
        learning_rate=schedule,
        weight_decay_rate=config.weight_decay_rate,
        beta_1=config.beta_1,
        beta_2=config.beta_2,
        epsilon=config.epsilon,
        exclude_from_weight_decay=config.exclude_from_weight_decay,
        global_clipnorm=config.gradient_clip_norm or None,
        name=config.type,  # Fixed: its variables go by it in checkpoints.
        **further,
    )
    optimizer.build(list(variables))
    return optimizer
