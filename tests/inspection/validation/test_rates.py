from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.inspection.validation.rates import check_pairs, check_rates, largest_deviation
from pipeline.inspection.validation.tally import Tally


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


# === Checks, on counts by hand ===


def corpus(**options: Any) -> Any:
    return SimpleNamespace(
        config=SimpleNamespace(mask_prob=0.7, random_prob=0.2, masking_unit="token", **options),
        manifest=SimpleNamespace(statistics={"train": {"pairs_forced_random": 100}}),
    )


def tally(by_mask: int, at_random: int, predictions: int = 100_000) -> Tally:
    made = Tally(max_seq_length=4)
    made.counts.update(predictions=predictions, replaced_by_mask=by_mask, replaced_at_random=at_random)
    made.coincidence = predictions / 1000
    return made


def test_replacements_in_their_shares() -> None:
    assert list(check_rates(corpus(), "train", tally(70_000, 19_980))) == []


def test_replacements_in_other_shares() -> None:
    found = [problem.message for problem in check_rates(corpus(), "train", tally(75_000, 19_980))]
    assert len(found) == 2
    assert found[0].startswith("train: 75,000 of 100,000 predictions became [MASK], 75.00%; expected 70.00% ±")
    assert found[1].startswith("train: 5,020 of 100,000 predictions stayed, 5.02%; expected 10.02% ±")
    problem, _ = check_rates(corpus(), "train", tally(70_000, 20_900))
    assert "became a random token, 20.90%; expected 19.98% ±" in problem.message


def test_positions_that_are_predicted_too_often() -> None:
    made = tally(70_000, 19_980)
    made.predicted_at = np.array([0, 25_000, 26_500, 25_100])
    made.expected_at = np.array([0.0, 25_000.0, 25_000.0, 25_000.0])
    made.variance_at = np.array([0.0, 20_000.0, 20_000.0, 20_000.0])
    (problem,) = check_rates(corpus(), "train", made)
    assert problem.message.startswith(
        "train: 1 position is predicted too often or too rarely; position 2 26,500 times, expected 25,000 ±"
    )


def test_labels_out_of_balance_beside_those_that_had_no_choice() -> None:
    made = Tally(max_seq_length=4)
    made.counts.update(examples=10_100, label_1=5_100)
    assert list(check_pairs(corpus(), "train", made)) == []
    made.counts["label_1"] = 5_500
    (problem,) = check_pairs(corpus(), "train", made)
    assert problem.message.startswith("train: 5,400 of 10,000 pairs with a random label have label 1; expected 5,000 ±")
    made.counts["label_1"] = 99
    (problem,) = check_pairs(corpus(), "train", made)
    assert problem.message.startswith(
        "train: 99 pairs have label 1; the manifest says that 100 pairs have no next sentence"
    )
