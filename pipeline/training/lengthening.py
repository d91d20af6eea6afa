"""More steps for a run that has made all of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import files
from pipeline.config.tree import apply_overrides, replace_values
from pipeline.errors import ConfigError
from pipeline.training.config_differences import LENGTHENED, differing_options
from pipeline.training.configs import ExperimentConfig, OptimizerConfig, TrainerConfig
from pipeline.training.corpora import named_as
from pipeline.training.run_folder import RunFolder

# What follows from the number of steps, and may not be set beside it.
_FILLED_IN = ("trainer.train_steps", "trainer.restart_step", "trainer.budget", "trainer.warmup_share")
_CHOSEN = tuple(name for name in LENGTHENED if name not in _FILLED_IN)


def longer_config(
    run_dir: str, steps: int, values: Mapping[str, Any], overrides: Sequence[str] = ()
) -> ExperimentConfig:
    """The configuration of a finished run that goes on for more steps.

    The weights, the optimiser's moments and the place in the data go on. The learning rate, which has come to its end,
    has its schedule once more over these steps: a warm-up to the same peak, of a tenth of them at most, and the same
    decay (Ibrahim et al., 2024, "Simple and Scalable Strategies to Continually Pre-train Large Language Models",
    https://arxiv.org/abs/2403.08763). A constant one stays as it is.

    Args:
        run_dir: the run's folder. A run that has begun to make more steps, as many, goes on.
        steps: how many more.
        values: options as YAML has them.
        overrides: options of the form `a.b=c`.

    Raises:
        InputError: if there is no run.
        ConfigError: if it is not finished, is in stages, decays from another run, or other options are set than such a
            run may choose.
    """
    if steps < 1:
        raise ConfigError("--more-steps must be at least 1", received=steps)
    folder = RunFolder(run_dir)
    folder.tokenizer()  # Says what is wrong with a folder that is no run's.
    held = folder.held_config()
    data = {
        name: dataclasses.replace(getattr(held.task, name), input_path="", weights=())
        for name in ("train_data", "validation_data")
    }
    base = dataclasses.replace(
        held,
        task=dataclasses.replace(held.task, **data),
        trainer=_longer(run_dir, held, folder.results(held.trainer.train_steps), steps),
    )
    wanted = apply_overrides(replace_values(base, values), overrides)
    if differing := differing_options(base, wanted, but=_CHOSEN):
        raise ConfigError(
            f"More steps of {run_dir} must use its configuration",
            received="; ".join(differing),
            do=f"Leave these options out. The only ones that can be set are {', '.join(_CHOSEN)}",
        )
    return wanted


def _longer(run_dir: str, held: ExperimentConfig, results: Mapping[str, Any] | None, steps: int) -> TrainerConfig:
    trainer = held.trainer
    if results is None:
        if trainer.restart_step is not None and trainer.scheduled_steps == steps:
            return trainer
        raise ConfigError(
            f"{run_dir} must finish its {trainer.train_steps:,} steps before it can be given more",
            received="an unfinished run",
            do="Run its original command again: it continues from the last checkpoint",
        )
    if held.task.train_data.stages:
        raise ConfigError(
            "A run with stages cannot be given more steps: the ends of its stages depend on their number",
            do=f"Start another run with --init-from {run_dir}",
        )
    if trainer.decay_from:
        raise ConfigError(
            f"{run_dir} decays from {trainer.decay_from}, and cannot be given more steps",
            do="Give them to that run, and decay again from its new checkpoint",
        )
    made = int(results["steps"])
    return dataclasses.replace(
        trainer,
        train_steps=made + steps,
        restart_step=made,
        budget="",
        warmup_share=None,
        optimizer=_for_steps(trainer.optimizer, steps),
    )


def _for_steps(optimizer: OptimizerConfig, steps: int) -> OptimizerConfig:
    """The optimiser with a schedule for so many steps."""
    warmup = 0 if optimizer.decay == "constant" else min(optimizer.warmup_steps, steps // 10)
    decay = optimizer.decay_steps
    return dataclasses.replace(
        optimizer, warmup_steps=warmup, decay_steps=None if decay is None else max(1, min(decay, steps - warmup))
    )


def corpora_to_go_on_with(run_dir: str) -> list[str]:
    """The corpora of a run, as `--corpus` takes them.

    Raises:
        InputError: if there is no run.
    """
    folder = RunFolder(run_dir)
    folder.tokenizer()
    data = folder.held_config().task.train_data
    return named_as(data.input_path, data.weights)


def describe_lengthening(trainer: TrainerConfig) -> str:
    """What the learning rate does over the steps that a run was given, in words."""
    from pipeline.training.optimization.build import build_schedule

    optimizer, start = trainer.optimizer, trainer.restart_step or 0
    rate = build_schedule(trainer)
    peak, end = (float(rate(step)) for step in (start + optimizer.warmup_steps, trainer.train_steps))
    said = (
        f"{trainer.scheduled_steps:,} more steps after step {start:,}, with the same optimiser state and position in"
        " the data; the learning rate "
    )
    if optimizer.decay == "constant":
        return f"{said}stays {peak:.3g}"
    rise = f"rises again over {optimizer.warmup_steps:,} steps to {peak:.3g}, then " * bool(optimizer.warmup_steps)
    fall = f"falls ({optimizer.decay})" + f" from {peak:.3g}" * (not rise)
    return f"{said}{rise}{fall} to {end:.3g} at step {trainer.train_steps:,}"


def check_lengthening(folder: RunFolder) -> None:
    """Makes sure that a run has the checkpoint that it goes on from.

    Raises:
        ConfigError: if it has none.
    """
    if not folder.checkpoint_steps():
        raise ConfigError(
            f"{files.join(folder.path, 'checkpoints')} must contain the last checkpoint, from which more steps"
            " continue",
            received="none",
            do=f"Restore it, or start another run with --init-from {folder.path}",
        )
