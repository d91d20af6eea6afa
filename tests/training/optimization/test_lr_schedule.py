"""Schedules under tensorflow/models' names: values by hand, and configurations that make them again."""

from __future__ import annotations

import math
from typing import Any

import keras
import pytest

from pipeline.training.optimization import lr_schedule

CASES: list[tuple[Any, dict[int, float]]] = [
    (lr_schedule.PolynomialDecayWithOffset(1.0, 100, 0.0, offset=10), {10: 1.0, 60: 0.5, 110: 0.0}),
    (lr_schedule.PiecewiseConstantDecayWithOffset([10], [1.0, 0.1], offset=5), {15: 1.0, 16: 0.1}),
    (lr_schedule.LinearWarmup(0.1, 10, 0.02), {0: 0.02, 5: 0.06, 10: 0.1, 99: 0.1}),
    (
        lr_schedule.LinearWarmup(lr_schedule.PolynomialDecayWithOffset(1.0, 100, 0.0), 10, 0.0),
        {0: 0.0, 5: 0.45, 10: 0.9, 50: 0.5},
    ),
    (lr_schedule.PolynomialWarmUp(0.1, 10, power=2.0), {0: 0.001, 5: 0.025, 10: 0.1}),
    (lr_schedule.DirectPowerDecay(2.0, -0.5), {0: 2.0, 1: 2.0, 16: 0.5}),
    (lr_schedule.PowerAndLinearDecay(1.0, 100, -1.0, 0.5, offset=10), {0: 1.0, 50: 1 / 40, 70: 0.8 / 60, 110: 0.0}),
    (lr_schedule.PowerDecayWithOffset(1.0, -1.0, 10, 3.0), {10: 3.0, 20: 0.1}),
    (
        lr_schedule.StepCosineDecayWithOffset([0, 10, 20], [1.0, 0.5, 0.1], offset=5),
        {5: 1.0, 10: 0.75, 15: 0.5, 20: 0.3, 25: 0.1, 99: 0.1},
    ),
    (lr_schedule.CosineDecayWithOffset(1.0, 4, offset=2), {2: 1.0, 3: (1 + math.cos(math.pi / 4)) / 2, 6: 0.0}),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_rates(number: int) -> None:
    schedule, rates = CASES[number]
    for again in (schedule, keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))):
        assert {step: pytest.approx(float(again(step)), abs=1e-6) for step in rates} == rates


def test_values_without_boundaries_are_refused() -> None:
    with pytest.raises(ValueError, match="must have the same length, at least 1"):
        lr_schedule.StepCosineDecayWithOffset([0], [1.0, 0.5])
