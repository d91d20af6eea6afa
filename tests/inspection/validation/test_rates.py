from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.inspection.validation.rates import largest_deviation


def probability_beyond(draws: int, prob: float, deviation: float) -> float:
    """Exactly: the probability that a binomial count is further than `deviation` from its mean."""
    counts = np.arange(draws + 1)
    log_factorial = np.array([math.lgamma(n + 1) for n in range(draws + 1)])
    ways = log_factorial[-1] - log_factorial - log_factorial[::-1]
    probabilities = np.exp(ways + counts * math.log(prob) + (draws - counts) * math.log(1 - prob))
    return float(probabilities[np.abs(counts - draws * prob) >= deviation].sum())


@pytest.mark.parametrize("draws", [1, 10, 100, 5000])
@pytest.mark.parametrize("prob", [0.001, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("false_alarm", [0.05, 1e-6])
def test_false_alarms_are_as_rare_as_stated(draws: int, prob: float, false_alarm: float) -> None:
    allowed = largest_deviation(draws * prob * (1 - prob), 1.0, false_alarm)
    assert probability_beyond(draws, prob, allowed) <= false_alarm


def test_the_bound_is_near_the_normal_quantile_for_many_draws() -> None:
    variance = 1e6 * 0.8 * 0.2
    # A normal variable is further than 4.8916 standard deviations from its mean with probability 1e-6.
    assert 1.0 < largest_deviation(variance) / (4.8916 * math.sqrt(variance)) < 1.12


def test_draws_of_larger_steps_may_stray_further() -> None:
    assert largest_deviation(100.0, 10.0) > largest_deviation(100.0, 1.0)


def test_without_variance_nothing_strays() -> None:
    assert largest_deviation(0.0) == 0.0
