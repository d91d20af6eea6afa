"""What a budget of time suffices for: arithmetic alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.training.budget import FEWEST_STEPS, Intervals, Pace, Plan, parse_budget, plan_steps

USABLE = 0.98  # Of the budget.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1H 30m", 5400), ("1.5h", 5400), ("1h0m30s", 3630)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30m1h", "-5m", "0s", "1d", "half an hour", "5mm", "nan", "1e3s"])
def test_no_times(text: str) -> None:
    with pytest.raises(ConfigError, match=r"a time above 0 with its unit.*Write it like 90s, 30m, 2h or 1h30m"):
        parse_budget(text)


def test_a_plan_by_hand() -> None:
    """1,000 s, of which 980 are used: 40 are past, 40 go to starting and saving, 50 at most to evaluations."""
    pace = Pace(start=30, step=1, summary=0.5, evaluation=10, checkpoint=1, end=10)
    plan = plan_steps(1000, 40, pace)
    # 900 s are left: 4 evaluations of 10 s and checkpoints of 1 s, 20 summaries of half a second.
    assert plan == Plan(train_steps=846, summary_interval=43, validation_interval=212, checkpoint_interval=212)
    assert plan.seconds(pace) == 30 + 846 + 20 * 0.5 + 4 * 11 + 10


def test_checkpoints_come_between_evaluations_of_a_long_run() -> None:
    pace = Pace(start=10, step=0.5, summary=0.01, evaluation=20, checkpoint=2, end=10)
    plan = plan_steps(24 * 3600, 60, pace)
    assert math.ceil(plan.train_steps / plan.validation_interval) == 10
    assert plan.validation_interval % plan.checkpoint_interval == 0
    assert 200 < plan.checkpoint_interval * pace.step <= 300


def test_what_is_set_is_kept() -> None:
    pace = Pace(start=10, step=0.5, summary=0.01, evaluation=20, checkpoint=2, end=10)
    plan = plan_steps(3600, 60, pace, Intervals(validation=100))
    assert plan.validation_interval == 100
    assert plan_steps(3600, 60, pace).train_steps > plan.train_steps  # That many evaluations take time.
    plan = plan_steps(3600, 60, pace, Intervals(7, 50, 30))
    assert (plan.summary_interval, plan.validation_interval, plan.checkpoint_interval) == (7, 50, 30)


times = st.floats(0, 30)
intervals = st.none() | st.integers(1, 5000)


@settings(deadline=None, max_examples=500)
@given(
    budget=st.floats(10, 1e6),
    used=st.floats(0, 100),
    pace=st.builds(
        Pace,
        start=times,
        step=st.floats(1e-4, 100),
        summary=st.floats(0, 0.1),
        evaluation=st.just(0.0) | times,
        checkpoint=times,
        end=times,
    ),
    kept=st.builds(Intervals, intervals, intervals, intervals),
)
def test_the_time_is_used_and_not_exceeded(budget: float, used: float, pace: Pace, kept: Intervals) -> None:
    rest = budget * USABLE - used
    try:
        plan = plan_steps(budget, used, pace, kept)
    except ConfigError as error:
        assert "must be long enough for 20 steps" in str(error)  # noqa: PT017
        of_step = [(pace.summary, kept.summary), (pace.evaluation, kept.validation), (pace.checkpoint, kept.checkpoint)]
        each = pace.step + sum(cost / interval for cost, interval in of_step if interval)
        looks = 21 * pace.summary + 11 * pace.evaluation + pace.checkpoint * (11 + rest / 300)
        assert rest - pace.start - pace.end < FEWEST_STEPS * each + looks + 1e-6
        return
    assert plan.train_steps >= FEWEST_STEPS
    seconds = plan.seconds(pace)
    assert seconds <= rest * (1 + 1e-9) + 1e-6
    # Rounding leaves over less than a step with its looks, and looks that fall on the same step.
    unused = pace.step + 21 * pace.summary + 2 * (pace.evaluation + pace.checkpoint) + 0.1 * rest
    assert rest - seconds <= unused
    for name, path in (("summary", "summary_interval"), ("validation", "validation_interval")):
        assert getattr(kept, name) in (None, getattr(plan, path))
    if kept == Intervals():
        evaluations = math.ceil(plan.train_steps / plan.validation_interval)
        assert evaluations <= 10
        assert evaluations == 1 or evaluations * (pace.evaluation + pace.checkpoint) <= 0.05 * rest * (1 + 1e-9)
