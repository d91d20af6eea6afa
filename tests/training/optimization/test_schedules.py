"""Learning rates, against formulas and against what tensorflow/models computes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.training.optimization.schedules import WarmupDecay

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
