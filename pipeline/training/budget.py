"""How many steps a budget of time suffices for: arithmetic alone."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.training.durations import format_duration

FEWEST_STEPS = 20  # Below, no schedule makes sense, and the measured pace is a guess.
LEAST_WARMUP = 0.1  # Share of the steps; an experiment's own is of far more of them.
_RESERVE = 0.02  # Of the budget: starting and ending Python, and a machine that is now and then busy.
# What the budget decides where the user does not.
_SUMMARIES = 20
_EVALUATIONS = 10  # At most.
_SHARE = 0.05  # Of the time, at most, that evaluations and the checkpoints beside them take.
_CHECKPOINT_SECONDS = 300  # That a kill may cost.

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_TIME = re.compile("".join(rf"(?:(\d{{1,6}}(?:\.\d+)?){unit})?" for unit in _UNITS))


def parse_budget(text: str) -> float:
    """Parses a time such as `90s`, `30m`, `2h` or `1h30m`.

    Returns:
        Seconds, above 0.

    Raises:
        ConfigError: if it is nothing of the kind.
    """
    found = _TIME.fullmatch(text.strip().lower().replace(" ", ""))
    numbers = found.groups(default="0") if found else ("0",) * len(_UNITS)
    seconds = sum(float(number) * of for number, of in zip(numbers, _UNITS.values(), strict=True))
    if not seconds:
        raise ConfigError(
            "budget must be a time above 0 with its unit", received=repr(text), do="Write it like 90s, 30m, 2h or 1h30m"
        )
    return seconds


@dataclass(frozen=True)
class Pace:
    """How long the parts of a run take on this machine, in seconds.

    Attributes:
        start: until the first step is made: the model is built, the step compiled.
        step: a step, in the mean over the run.
        summary: a line of the log.
        evaluation: an evaluation, with the best weights saved; 0 where there is nothing to evaluate on.
        checkpoint: a checkpoint.
        end: what the first evaluation takes longer than others, saving the model and filling in the example.
        steps: how many were measured.
    """

    start: float
    step: float
    summary: float = 0.0
    evaluation: float = 0.0
    checkpoint: float = 0.0
    end: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class Intervals:
    """Steps between summaries, evaluations and checkpoints; None for what the budget decides."""

    summary: int | None = None
    validation: int | None = None
    checkpoint: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a budget suffices for.

    Attributes:
        train_steps: steps of the run.
        summary_interval, validation_interval, checkpoint_interval: steps between these.
    """

    train_steps: int
    summary_interval: int
    validation_interval: int
    checkpoint_interval: int

    def seconds(self, pace: Pace) -> float:
        """How long the run takes from building the model on."""
        steps = self.train_steps
        each = (
            (pace.summary, self.summary_interval),
            (pace.evaluation, self.validation_interval),
            (pace.checkpoint, self.checkpoint_interval),
        )
        looks = sum(cost * math.ceil(steps / interval) for cost, interval in each)
        return pace.start + steps * pace.step + looks + pace.end


def plan_steps(budget: float, used: float, pace: Pace, kept: Intervals = Intervals()) -> Plan:
    """Works out the steps, and the intervals that are left open, so that the run ends when the budget does.

    Args:
        budget: seconds of the whole command.
        used: seconds used up already.
        pace: what is to come takes so long.
        kept: intervals that the user has set.

    Raises:
        ConfigError: if the time does not suffice for `FEWEST_STEPS`.
    """
    rest = budget * (1 - _RESERVE) - used - pace.start - pace.end
    looks = max(1, int(min(_EVALUATIONS, _affordable(pace.evaluation + pace.checkpoint, rest))))
    often = min(rest / _CHECKPOINT_SECONDS, _affordable(pace.checkpoint, rest))
    parts = max(1, math.ceil(often / looks))  # Checkpoints by the next evaluation.
    costs = (
        (pace.summary, kept.summary, _SUMMARIES),
        (pace.evaluation, kept.validation, looks),
        (pace.checkpoint, kept.checkpoint, looks * parts),
    )
    of_step, fixed = pace.step, 0.0
    for cost, interval, count in costs:
        of_step += cost / interval if interval else 0.0
        fixed += cost if interval else cost * count  # The last step has one of its own.
    steps = int((rest - fixed) / of_step)
    if steps < FEWEST_STEPS:
        needed = (used + pace.start + pace.end + fixed + FEWEST_STEPS * of_step) / (1 - _RESERVE)
        raise ConfigError(
            f"The budget must be long enough for {FEWEST_STEPS} steps: about {format_duration(math.ceil(needed))}",
            received=f"{format_duration(budget)}; starting and measuring took {format_duration(used)}, compiling again"
            f" and saving take {format_duration(pace.start + pace.end)}, and a step takes {format_duration(pace.step)}",
            do="Raise the budget, or make the model or task.train_data.global_batch_size smaller",
        )
    checkpoint = kept.checkpoint or math.ceil(steps / (looks * parts))
    together = kept.checkpoint is None  # An evaluation comes with a checkpoint.
    return Plan(
        train_steps=steps,
        summary_interval=kept.summary or math.ceil(steps / _SUMMARIES),
        validation_interval=kept.validation or (checkpoint * parts if together else math.ceil(steps / looks)),
        checkpoint_interval=checkpoint,
    )


def _affordable(cost: float, rest: float) -> float:
    """How often something may be done in the time that is left, so that it takes its share at most."""
    return _SHARE * max(rest, 0.0) / cost if cost else math.inf
