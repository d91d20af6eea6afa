"""Learning rates, against formulas and against what tensorflow/models computes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.training.configs import OptimizerConfig
from pipeline.training.optimization.build import SCHEDULES
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.schedules import WarmupDecay, WarmupStableDecay

RECORDED = json.loads(Path(__file__).with_name("tensorflow_models_optimizers.json").read_text())


def test_values() -> None:
    schedule = WarmupDecay(1e-3, decay_steps=100, warmup_steps=10)
    values = {step: float(schedule(step)) for step in (0, 1, 5, 9, 10, 55, 100, 150)}
    peak = 1e-3 * 0.9  # Where the decay has come to when the warm-up ends.
    assert values == {
        0: pytest.approx(peak / 10),
        1: pytest.approx(peak / 10),
        5: pytest.approx(peak / 2),
        9: pytest.approx(peak * 0.9),
        10: pytest.approx(peak),
        55: pytest.approx(1e-3 * 0.45),
        100: 0.0,
        150: 0.0,
    }


def test_without_warmup_and_with_an_end() -> None:
    schedule = WarmupDecay(1e-3, decay_steps=10, end_learning_rate=1e-4)
    assert float(schedule(0)) == pytest.approx(1e-3)
    assert float(schedule(5)) == pytest.approx(5.5e-4)
    assert float(schedule(10)) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("linear", 1e-4 + 9e-4 * 0.75),
        ("polynomial", 1e-4 + 9e-4 * 0.75**3),
        ("cosine", 1e-4 + 9e-4 * (1 + math.cos(math.pi / 4)) / 2),
        ("constant", 1e-3),
    ],
)
def test_forms(decay: str, expected: float) -> None:
    schedule = WarmupDecay(1e-3, 20, end_learning_rate=1e-4, decay=decay, power=3.0)
    assert float(schedule(5)) == pytest.approx(expected)
    again = WarmupDecay.from_config(schedule.get_config())
    assert float(again(7)) == float(schedule(7))


@pytest.mark.parametrize("decay", ["linear", "polynomial", "cosine"])
def test_as_tensorflow_models(decay: str) -> None:
    schedule = WarmupDecay(1e-3, 100, 10, 1e-5, decay, power=2.0)
    values = [float(schedule(step)) for step in RECORDED["steps"]]
    assert values == pytest.approx(RECORDED["schedules"][decay], rel=1e-5)


def test_another_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="linear, polynomial, cosine or constant"):
        WarmupDecay(1e-3, 10, decay="exponential")


def test_warmup_stable_decay() -> None:
    schedule = WarmupStableDecay(1e-3, 100, 10, 16, end_learning_rate=1e-4)
    values = {step: float(schedule(step)) for step in (0, 1, 5, 10, 50, 84, 88, 93, 100, 150)}
    assert values == pytest.approx(
        {
            0: 1e-4, 1: 1e-4, 5: 5e-4, 10: 1e-3, 50: 1e-3, 84: 1e-3, 88: 1e-4 + 9e-4 * 0.5, 93: 1e-4 + 9e-4 * 0.25,
            100: 1e-4, 150: 1e-4,
        },
        rel=1e-5,
    )  # fmt: skip
    linear = WarmupStableDecay(1e-3, 100, 0, 16, form="linear")
    assert [float(linear(step)) for step in (0, 84, 88, 100)] == pytest.approx([1e-3, 1e-3, 0.75e-3, 0.0])
    for each in (schedule, linear):
        again = type(each).from_config(each.get_config())
        assert [float(again(step)) for step in range(0, 120, 7)] == [float(each(step)) for step in range(0, 120, 7)]
    with pytest.raises(ConfigError, match=r"1-sqrt or linear"):
        WarmupStableDecay(1e-3, 10, 0, 1, form="sqrt")
    with pytest.raises(ConfigError, match=r"must add up to at most 10.*Received: 6 and 5"):
        WarmupStableDecay(1e-3, 10, 6, 5)


def test_triangle() -> None:
    """Cramming's `triangle2`: from a quarter of the peak to the peak after three quarters of the steps, then to 0."""
    config = OptimizerConfig(decay="triangle", learning_rate=1e-3, warmup_steps=750, warmup_start=0.25)
    schedule = SCHEDULES["triangle"](config, 1000, Clock.create())
    steps = [0, 1, 300, 750, 800, 999, 1000]
    cramming = [1e-3 * min(0.25 + step * 0.75 / 0.75 / 1000, 1 / 0.25 - step / (1000 * 0.25)) for step in steps]
    assert [float(schedule(step)) for step in steps] == pytest.approx(cramming, rel=1e-5, abs=1e-9)


def test_a_tenth_of_the_steps_decays_by_default() -> None:
    config = OptimizerConfig(decay="wsd", learning_rate=1e-3, warmup_steps=5)
    schedule = SCHEDULES["wsd"](config, 1000, Clock.create())
    assert [float(schedule(step)) for step in (900, 925, 1000)] == pytest.approx([1e-3, 0.5e-3, 0.0])
