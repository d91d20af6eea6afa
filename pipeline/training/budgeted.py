"""Runs with a budget of time: what they decide by their pace, and go by when they are resumed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline import files
from pipeline.config.tree import merged, replace_values, to_dict
from pipeline.errors import ConfigError
from pipeline.manifest import Manifest
from pipeline.training.budget import LEAST_WARMUP, Intervals, Pace, Plan, parse_budget, plan_steps
from pipeline.training.budget_recipes import recipe_for
from pipeline.training.config_differences import flatten
from pipeline.training.configs import DataConfig, ExperimentConfig
from pipeline.training.corpora import Corpora
from pipeline.training.durations import format_duration
from pipeline.training.experiments import fit_to_corpus
from pipeline.training.run_folder import RunFolder
from pipeline.training.stages import PlannedStage, parse_until

logger = logging.getLogger(__name__)

_STEPS = "trainer.train_steps"
_WARMUP = "trainer.optimizer.warmup_steps"
_DECAY = "trainer.optimizer.decay_steps"
_INTERVALS = {name: f"trainer.{name}_interval" for name in ("summary", "validation", "checkpoint")}
# What the budget decides, where the user has not.
DECIDED = (_STEPS, _WARMUP, _DECAY, *_INTERVALS.values())


def recipe_config(budget: str, folder: RunFolder, *manifests: Manifest) -> ExperimentConfig:
    """The configuration that a budget chooses where the user names none.

    A run that has begun goes on with the one that was chosen then.

    Args:
        budget: the budget.
        folder: the run's folder.
        manifests: those of the corpora of all stages.

    Raises:
        ConfigError: if it is no time.
        InputError: if the folder's configuration is damaged.
    """
    if files.exists(folder.config) and (held := folder.held_config()).trainer.budget == budget:
        data = {
            name: dataclasses.replace(getattr(held.task, name), input_path="", weights=(), stages=())
            for name in ("train_data", "validation_data")
        }
        return dataclasses.replace(held, task=dataclasses.replace(held.task, **data))
    return fit_to_corpus(recipe_for(parse_budget(budget)).values, *manifests)


def check_budget(config: ExperimentConfig, given: Collection[str]) -> None:
    """Makes sure that a budget can decide what it has to.

    Args:
        config: the experiment.
        given: options that the user has set, by their paths.

    Raises:
        ConfigError: if others decide it already.
    """
    trainer = config.trainer
    if _STEPS in given:
        raise ConfigError(
            "trainer.budget determines the number of steps",
            received=f"{_STEPS} {trainer.train_steps:,} and a budget of {trainer.budget}",
            do="Leave one of them out",
        )
    if trainer.decay_from:
        raise ConfigError(
            "The length of a run with trainer.decay_from is set by its decay steps, so it cannot have a budget",
            received=f"trainer.budget {trainer.budget}",
            do="Leave the budget out",
        )
    if trainer.warmup_share is not None and _WARMUP in given:
        raise ConfigError(f"{_WARMUP} and trainer.warmup_share cannot both be set", do="Leave one of them out")
    if config.runtime.distribution_strategy == "multi_worker_mirrored":
        raise ConfigError(
            "trainer.budget is for a single machine: several would each measure a different speed",
            received="distribution_strategy multi_worker_mirrored",
            do="Measure on one of them, and set trainer.train_steps",
        )
    for number, stage in enumerate(config.task.train_data.stages, start=1):
        if stage.until is not None and parse_until(stage.until)[1] != "%":
            raise ConfigError(
                "With a budget, stages must end at percentages of the steps, because the budget determines their"
                " number",
                received=f"until {stage.until!r} in stage {number}",
                do="Write it like '90%'",
            )


def as_decided(config: ExperimentConfig, held: ExperimentConfig, given: Collection[str]) -> ExperimentConfig:
    """The configuration with what its budget decided when the run began.

    Args:
        config: the experiment that is wanted.
        held: the configuration of the run in the folder.
        given: options that the user has set, by their paths.
    """
    if not held.trainer.budget:
        return config
    decided = flatten(to_dict(held))
    return _with_values(config, {path: decided[path] for path in DECIDED if path not in given})


def measure(
    config: ExperimentConfig,
    stages: Sequence[PlannedStage],
    corpora: Corpora,
    folder: RunFolder,
    strategy: Any,
    *,
    validation: Mapping[str, DataConfig],
    mask_id: int,
) -> Pace:
    """Measures the pace of a run whose number of steps is not known yet.

    Args:
        config: the experiment, resolved; its number of steps is the experiment's.
        stages: its plan; none where there is one stage.
        corpora: what it is trained on.
        folder: the run's folder, in which nothing is left.
        strategy: what it runs on.
        validation: what to evaluate on, by the corpus's name.
        mask_id: id of `[MASK]`.

    Raises:
        OutputError: if the folder cannot be written, or holds something else.
        CorpusError: if a record cannot be read.
        TrainingError: if a step cannot be made.
    """
    import pipeline.training.masked_lm  # noqa: F401 It registers its task.
    from pipeline.training import task_factory
    from pipeline.training.loop.measuring import Place, measure_pace

    steps, data = config.trainer.train_steps, config.task.train_data
    parts = [(stage.first_step, stage.last_step, stage.tokens) for stage in stages]
    parts = parts or [(0, steps, steps * data.global_batch_size * corpora.mean_tokens)]
    logger.info(f"budget {config.trainer.budget}: measuring the time of a step")
    with folder.scratch() as scratch:
        return measure_pace(
            config,
            task_factory.get_task(config.task),
            scratch,
            strategy,
            budget=parse_budget(config.trainer.budget),
            places=[
                Place((first + last) // 2, tokens / (last - first), (last - first) / steps)
                for first, last, tokens in parts
            ],
            validation=validation,
            mask_id=mask_id,
        )


def decide(config: ExperimentConfig, given: Collection[str], pace: Pace, used: float) -> ExperimentConfig:
    """Decides what the budget is to decide, and says so.

    Warm-up and decay have the share of the steps that they had in the experiment.

    Args:
        config: the experiment; its number of steps is the experiment's.
        given: options that the user has set, by their paths.
        pace: that of its steps.
        used: seconds of the budget that are used up.

    Raises:
        ConfigError: if the time does not suffice.
    """
    trainer, optimizer = config.trainer, config.trainer.optimizer
    kept = Intervals(
        **{name: getattr(trainer, f"{name}_interval") for name, path in _INTERVALS.items() if path in given}
    )
    plan = plan_steps(parse_budget(trainer.budget), used, pace, kept)
    values: dict[str, Any] = dataclasses.asdict(plan)
    values = {f"trainer.{name}": value for name, value in values.items()}
    steps, decay = plan.train_steps, optimizer.decay_steps
    if _DECAY not in given and decay is not None:
        values[_DECAY] = decay = max(1, round(steps * decay / trainer.train_steps))
    if _WARMUP not in given:
        share = trainer.warmup_share
        if share is None:
            share = max(LEAST_WARMUP, optimizer.warmup_steps / trainer.train_steps)
        values[_WARMUP] = max(0, min(round(share * steps), steps - (decay or 1)))
    try:
        config = _with_values(config, values)
    except ConfigError as error:
        raise error.within(f"The budget of {trainer.budget} is enough for {steps:,} steps") from None
    logger.info(_describe(config, plan, pace, used))
    return config


def _describe(config: ExperimentConfig, plan: Plan, pace: Pace, used: float) -> str:
    """What was decided, in two lines."""
    trainer, optimizer = config.trainer, config.trainer.optimizer
    decay = "" if optimizer.decay == "constant" else f", decay to {optimizer.end_learning_rate:g} at the last step"
    evaluation = f", an evaluation {format_duration(pace.evaluation)}" if pace.evaluation else ""
    return (
        f"budget {trainer.budget}: {plan.train_steps:,} steps, warm-up over {optimizer.warmup_steps:,}{decay};"
        f" done in about {format_duration(plan.seconds(pace))}\n"
        f"measured over {pace.steps} steps: a step takes {format_duration(pace.step)}{evaluation}, a checkpoint"
        f" {format_duration(pace.checkpoint)}; {format_duration(used)} used so far; an evaluation every"
        f" {plan.validation_interval:,} steps, a checkpoint every {plan.checkpoint_interval:,}"
    )


def _with_values(config: ExperimentConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """The configuration with other values, by their paths."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        for name in reversed(path.split(".")):
            value = {name: value}
        nested = merged(nested, value)
    return replace_values(config, nested)
