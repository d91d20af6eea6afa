"""Runs that decay the learning rate from a checkpoint of another run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline import files
from pipeline.config.tree import apply_overrides, replace_values
from pipeline.errors import ConfigError, CorpusError, InputError
from pipeline.training.config_differences import differing_options
from pipeline.training.configs import ExperimentConfig, parse_checkpoint
from pipeline.training.corpora import Corpora, named_as
from pipeline.training.run_folder import RunFolder
from pipeline.training.stages import first_steps

_OPTIMIZER = "trainer.optimizer."
# What the new run may choose: how far and how it decays, and what changes nothing that is computed.
_CHOSEN = (
    *(_OPTIMIZER + name for name in ("decay_steps", "decay_form", "end_learning_rate")),
    *(f"trainer.{name}_interval" for name in ("summary", "validation", "checkpoint")),
    "trainer.max_to_keep",
    "trainer.steps_per_loop",
    "trainer.example",
)
# What follows from the checkpoint.
_FILLED_IN = (
    *(_OPTIMIZER + name for name in ("learning_rate", "warmup_steps", "warmup_start", "decay")),
    "trainer.train_steps",
    "trainer.budget",
    "trainer.warmup_share",
    "trainer.decay_from",
    "task.init_checkpoint",
)
_ANY_STEPS = 10**12  # While their number is not known.


class _Start(NamedTuple):
    """Where a run begins to decay.

    Attributes:
        config: the configuration of the other run, or of the new one if it has begun.
        run: the other run.
        step: of its checkpoint.
        rate: the learning rate there.
    """

    config: ExperimentConfig
    run: str
    step: int
    rate: float

    @property
    def checkpoint(self) -> str:
        """As `trainer.decay_from` names it."""
        return files.join(RunFolder(self.run).checkpoints, f"step-{self.step}")


def decay_config(path: str, run_dir: str, values: Mapping[str, Any], overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The configuration of a run that decays the learning rate from where another run has come to.

    It is the other run's, but that the learning rate goes from its value there to `end_learning_rate` over
    `trainer.optimizer.decay_steps` further steps.

    Args:
        path: a run, for its newest checkpoint, or one of its checkpoints, `RUN/checkpoints/step-N`.
        run_dir: the new run's folder; a run that has begun there keeps its checkpoint.
        values: options as YAML has them.
        overrides: options of the form `a.b=c`.

    Raises:
        InputError: if there is no run or no checkpoint.
        ConfigError: if other options are set than such a run may choose, or `decay_steps` is not.
    """
    start = _begun(path, run_dir) or _find(path)
    task, trainer = start.config.task, start.config.trainer
    data = {
        name: dataclasses.replace(getattr(task, name), input_path="", weights=())
        for name in ("train_data", "validation_data")
    }
    optimizer = dataclasses.replace(
        trainer.optimizer, learning_rate=start.rate, warmup_steps=0, warmup_start=0.0, decay="wsd", decay_steps=None
    )
    base = dataclasses.replace(
        start.config,
        task=dataclasses.replace(task, init_checkpoint="", **data),
        trainer=dataclasses.replace(
            trainer, train_steps=_ANY_STEPS, budget="", warmup_share=None, decay_from="", optimizer=optimizer
        ),
    )
    wanted = apply_overrides(replace_values(base, values), overrides)
    if differing := differing_options(base, wanted, but=_CHOSEN):
        raise ConfigError(
            f"A run that decays from {start.checkpoint} uses the configuration of that run",
            received="; ".join(differing),
            do=f"Leave these options out. The only ones that can be set are {', '.join(_CHOSEN)}",
        )
    _check_rate(start, wanted)
    steps = wanted.trainer.optimizer.decay_steps
    if steps is None:
        raise ConfigError(
            "--decay-from needs the number of steps to decay over",
            do="Set trainer.optimizer.decay_steps: --trainer.optimizer.decay-steps 10000",
        )
    end, stages = start.step + steps, wanted.task.train_data.stages
    if stages and end <= (last := first_steps(stages)[-1]):
        raise ConfigError(
            f"In a run with stages, the decay must end in the last stage, which begins after step {last:,}",
            received=f"a decay from step {start.step:,} to step {end:,}",
            do="Raise trainer.optimizer.decay_steps, or choose a later checkpoint",
        )
    trainer = dataclasses.replace(wanted.trainer, train_steps=end, decay_from=start.checkpoint)
    return dataclasses.replace(wanted, trainer=trainer)


def corpora_to_decay_on(path: str, run_dir: str) -> list[str]:
    """The corpora of the run that `path` names, as `--corpus` takes them; see `decay_config`.

    Raises:
        InputError: if there is no run or no checkpoint.
    """
    data = (_begun(path, run_dir) or _find(path)).config.task.train_data
    return named_as(data.input_path, data.weights)


def check_decay(config: ExperimentConfig, corpora: Corpora) -> None:
    """Makes sure that a run can decay from the checkpoint that its configuration names.

    Args:
        config: the experiment, resolved.
        corpora: what it is trained on.

    Raises:
        InputError: if there is no such run or checkpoint.
        CorpusError: if it is of another corpus.
        ConfigError: if it is of another configuration, or has another learning rate there.
    """
    start = _find(config.trainer.decay_from)
    if not RunFolder(start.run).trained_on(corpora):
        raise CorpusError(
            f"The corpus must be that of {start.run}: the new run continues from its position in the data",
            received=", ".join(corpora.directories),
            do="Leave --corpus out, or give the new location of the corpus",
        )
    if differing := differing_options(start.config, config, but=(*_CHOSEN, *_FILLED_IN)):
        raise ConfigError(
            f"A run that decays from {start.checkpoint} must have the configuration of that run",
            received="; ".join(differing),
            do=f"Use pretrain --decay-from {start.run}, which sets it",
        )
    if config.trainer.optimizer.learning_rate != start.rate:
        raise ConfigError(
            f"trainer.optimizer.learning_rate must be that of {start.checkpoint}, {start.rate!r}",
            received=config.trainer.optimizer.learning_rate,
            do=f"Use pretrain --decay-from {start.run}, which sets it",
        )
    _check_rate(start, config)


def _check_rate(start: _Start, wanted: ExperimentConfig) -> None:
    end = wanted.trainer.optimizer.end_learning_rate
    if start.rate <= end:
        raise ConfigError(
            f"The learning rate at {start.checkpoint} must be above end_learning_rate, {end:g}",
            received=f"{start.rate:g}",
            do="Choose a checkpoint from before its decay, RUN/checkpoints/step-N",
        )


def _begun(path: str, run_dir: str) -> _Start | None:
    """The start of the run in a folder, if one has begun there to decay from what `path` names."""
    folder = RunFolder(run_dir)
    held = folder.held_config() if files.exists(folder.config) else None
    if held is None or not held.trainer.decay_from:
        return None
    run, step = held.trainer.decay_start
    start = _Start(held, run, step, held.trainer.optimizer.learning_rate)
    return start if path.rstrip("/") in (run, start.checkpoint) else None


def _find(path: str) -> _Start:
    """The start from what `path` names."""
    run, wanted = parse_checkpoint(path) or (path.rstrip("/"), None)
    folder = RunFolder(run)
    folder.tokenizer()  # Says what is wrong with a folder that is no run's.
    config, steps = folder.held_config(), folder.checkpoint_steps()
    if not steps or (wanted is not None and wanted not in steps):
        raise InputError(
            f"{run} must contain " + ("a checkpoint" if wanted is None else f"the checkpoint of step {wanted:,}"),
            received=", ".join(f"step-{step}" for step in steps) or "none",
            do="Choose an existing checkpoint: a run keeps its last trainer.max_to_keep checkpoints" if steps else "",
        )
    step = steps[-1] if wanted is None else wanted
    return _Start(config, run, step, _rate(config, step))


def _rate(config: ExperimentConfig, step: int) -> float:
    """The learning rate of a run at a step; the number of its configuration where it is that one."""
    from pipeline.training.optimization.build import build_schedule

    optimizer = config.trainer.optimizer
    rate = float(build_schedule(config.trainer)(step))
    return optimizer.learning_rate if np.float32(optimizer.learning_rate) == np.float32(rate) else rate
