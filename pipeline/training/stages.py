"""Stages of a training: which corpora are read until when, in batches of which size."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.config.base import Config
from pipeline.config.tree import check_ranges, option
from pipeline.errors import ConfigError

MOST_EXAMPLES = 2**20  # Of a batch; far beyond what anybody trains with.
_UNTIL = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?)\s*(%|tokens|steps)", re.IGNORECASE)
_HOW = "Write it like '90%' of the steps, '2e9 tokens' or '1000 steps', all counted from the start of the run"


@dataclass(frozen=True)
class StageConfig(Config):
    """A stage of a training.

    Raises:
        ConfigError: for a value out of range.
    """

    input_path: str | tuple[str, ...] = option(
        "",
        "directory of a corpus, or a list of several to mix; empty: input_path of the data that the stage belongs to",
    )
    weights: tuple[float, ...] = option(
        (),
        "with several corpora in input_path: the share of tokens of each; by default, in proportion to their numbers"
        " of tokens",
        minimum=1e-9,
        maximum=1e9,
    )
    global_batch_size: int | None = option(
        None,
        "examples per batch, over all replicas; null: global_batch_size of the data that the stage belongs to",
        minimum=1,
        maximum=MOST_EXAMPLES,
    )
    initial_batch_size: int | None = option(
        None,
        "examples per batch at the start of the stage; the batch size then grows evenly to global_batch_size by the"
        " end of the stage; null: constant",
        minimum=1,
        maximum=MOST_EXAMPLES,
        source="Geiping and Goldstein, 2023, https://arxiv.org/abs/2212.14034",
    )
    batch_sizes: int = option(
        8,
        "with initial_batch_size: maximum number of batch sizes, including the first and the last; all are multiples"
        " of the greatest common divisor of these two",
        minimum=2,
        maximum=1000,
    )
    until: str | None = option(
        None,
        "where the stage ends, counted from the start of the run: '90%' of the steps, '2e9 tokens' without padding,"
        " or '1000 steps'; null, for the last stage only: at the end of the run",
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.weights and not self.input_path:
            raise ConfigError("weights of a stage must be given together with its input_path")
        if self.until is not None:
            parse_until(self.until)


def parse_until(text: str) -> tuple[float, str]:
    """Parses where a stage ends: a number above 0, and its unit, one of `%`, `tokens` and `steps`.

    Raises:
        ConfigError: if it is nothing of the kind.
    """
    found = _UNTIL.fullmatch(text.strip())
    number = float(found[1]) if found else 0.0
    unit = found[2].lower() if found else ""
    if not number or (unit == "%" and number >= 100) or (unit == "steps" and number != int(number)):
        raise ConfigError("until must state where a stage ends", received=repr(text), do=_HOW)
    return number, unit


def check_stages(stages: Sequence[StageConfig], batch_size: int) -> None:
    """Checks what the stages of some data have to do with one another.

    Args:
        stages: in their order.
        batch_size: of stages that have none of their own.

    Raises:
        ConfigError: if a stage has no end, the last one has one, or a batch is to shrink.
    """
    for number, stage in enumerate(stages, start=1):
        last, size = number == len(stages), stage.global_batch_size or batch_size
        if stage.until is None and not last:
            raise ConfigError(f"Stage {number} needs an until: only the last stage has none", do=_HOW)
        if stage.until is not None and last:
            raise ConfigError(
                "The last stage must not have an until: it lasts until the end of the run",
                received=f"until {stage.until!r} in stage {number}",
                do="Leave its until out, or add another stage",
            )
        if stage.initial_batch_size is not None and stage.initial_batch_size >= size:
            raise ConfigError(
                f"The initial_batch_size of stage {number} must be less than its global_batch_size of {size}",
                received=stage.initial_batch_size,
            )


class PlannedStage(NamedTuple):
    """A stage of one batch size, with its place in the run.

    Attributes:
        config: the stage, with its `global_batch_size`, and with `until` in steps, but for the last one.
        first_step: the step that it begins with, counted from 0.
        last_step: the step that the next one begins with.
        tokens: about how many it has, without padding.
    """

    config: StageConfig
    first_step: int
    last_step: int
    tokens: float


def plan_stages(
    stages: Sequence[StageConfig], *, batch_size: int, mean_tokens: Sequence[float], train_steps: int
) -> list[PlannedStage]:
    """Works out at which steps stages end, and divides those whose batches grow into stages of one size each.

    A plan that is planned again is the same.

    Args:
        stages: in their order, checked by `check_stages`.
        batch_size: of stages that have none of their own.
        mean_tokens: the tokens of an example of each stage, in the mean, without padding.
        train_steps: of the run.

    Raises:
        ConfigError: if a stage has no step.
    """
    plan: list[PlannedStage] = []
    step, tokens = 0, 0.0
    for number, (stage, mean) in enumerate(zip(stages, mean_tokens, strict=True), start=1):
        size = stage.global_batch_size or batch_size
        sizes = [size] if stage.initial_batch_size is None else _growing(stage.initial_batch_size, size, stage)
        end, unit = (train_steps, "steps") if stage.until is None else parse_until(stage.until)
        begin, begin_tokens = step, tokens
        if unit == "%":
            end = round(end / 100 * train_steps)
        for place, examples in enumerate(sizes, start=1):
            if unit == "tokens":
                wanted = begin_tokens + (end - begin_tokens) * place / len(sizes)
                more = max(0, math.ceil((wanted - tokens) / (examples * mean)))
            else:
                more = begin + int(end - begin) * place // len(sizes) - step
            if more > 0:
                of_step = examples * mean
                config = dataclasses.replace(
                    stage,
                    global_batch_size=examples,
                    initial_batch_size=None,
                    batch_sizes=StageConfig().batch_sizes,
                    until=f"{step + more} steps",
                )
                plan.append(PlannedStage(config, step, step + more, more * of_step))
                step, tokens = step + more, tokens + more * of_step
        _check_place(number, len(stages), stage.until, begin, step, train_steps)
    plan[-1] = plan[-1]._replace(config=dataclasses.replace(plan[-1].config, until=None))
    return plan


def _check_place(number: int, of: int, until: str | None, begin: int, end: int, train_steps: int) -> None:
    """Checks that a stage has steps, and leaves some to those behind it."""
    received = f"{until or 'the end of the run'}, about step {end:,}"
    advice = "Move the ends of the stages, or raise trainer.train_steps"
    if end <= begin:
        raise ConfigError(
            f"Stage {number} must end after step {begin:,}, where it begins", received=received, do=advice
        )
    if number < of and end >= train_steps:
        raise ConfigError(
            f"Stage {number} must end before the run does, after {train_steps:,} steps",
            received=received,
            do=advice,
        )


def _growing(initial: int, final: int, stage: StageConfig) -> list[int]:
    """Evenly spaced sizes; what divides the first and the last one, such as a number of devices, divides them all."""
    unit = math.gcd(initial, final)
    first, span = initial // unit, (final - initial) // unit
    count = min(stage.batch_sizes, span + 1)
    return [unit * (first + round(place * span / (count - 1))) for place in range(count)]


def first_steps(stages: Sequence[StageConfig]) -> list[int]:
    """Returns the step that each planned stage begins with.

    Raises:
        ConfigError: if the stages are not planned.
    """
    steps = [0]
    for stage in stages[:-1]:
        number, unit = parse_until(stage.until or "")
        if unit != "steps" or stage.initial_batch_size is not None or number <= steps[-1]:
            raise ConfigError(
                "Outside a run, each stage must have a single batch size, and end at a larger number of steps than"
                " the one before",
                received=f"until {stage.until!r}, initial_batch_size {stage.initial_batch_size}",
                do="Let pretrain compute them, or copy them from the config.yaml of its run",
            )
        steps.append(int(number))
    return steps


def describe_plan(plan: Sequence[PlannedStage], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A plan for `results.json`.

    Args:
        plan: the stages.
        names: what to call each corpus, by its directory.

    Returns:
        For each stage, `first_step` and `last_step`, counted from 1, `batch_size`, about how many `tokens` it has, and
        its `corpora`.
    """
    return [
        {
            "first_step": stage.first_step + 1,
            "last_step": stage.last_step,
            "batch_size": stage.config.global_batch_size,
            "tokens": round(stage.tokens),
            "corpora": [names[path] for path in _paths(stage.config)],
        }
        for stage in plan
    ]


def _paths(stage: StageConfig) -> Sequence[str]:
    return [stage.input_path] if isinstance(stage.input_path, str) else stage.input_path


def format_stages(stages: Sequence[Mapping[str, Any]]) -> str:
    """What `describe_plan` returns, as a table in plain text."""
    rows = [("stage", "steps", "examples per batch", "tokens (about)", "corpus")]
    for number, stage in enumerate(stages, start=1):
        steps = f"{stage['first_step']:,} to {stage['last_step']:,}"
        numbers = (f"{number}", steps, f"{stage['batch_size']:,}", f"{stage['tokens']:,}")
        rows.append((*numbers, ", ".join(stage["corpora"])))
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    return "\n".join(
        "  ".join([*(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )
