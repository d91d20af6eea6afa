from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.masking import UNITS, MaskingPolicy, prediction_counts


@pytest.mark.parametrize("prob", [0.15, 0.1, 0.2, 0.25, 0.3, 0.5, 0.85, 1.0, 1e-6])
@pytest.mark.parametrize("most", [1, 20, 76, 1000])
def test_number_of_predictions_is_berts(prob: float, most: int) -> None:
    lengths = list(range(5, 1025))
    expected = [min(most, max(1, round(n * prob))) for n in lengths]  # Python's round: half to even.
    counts = prediction_counts(np.array(lengths), MaskingPolicy(most, masked_lm_prob=prob))
    assert counts.tolist() == expected


def test_halves_are_rounded_to_even() -> None:
    assert prediction_counts(np.array([10, 30, 50, 70]), MaskingPolicy(20)).tolist() == [2, 4, 8, 10]


def test_lengths_of_units() -> None:
    assert MaskingPolicy(20).unit_lengths().tolist() == [1.0]
    assert MaskingPolicy(20, unit="word").unit_lengths().tolist() == [1.0]
    ngram = MaskingPolicy(20, unit="ngram", max_ngram_size=3).unit_lengths()
    np.testing.assert_allclose(ngram, [6 / 11, 3 / 11, 2 / 11])  # ALBERT, section 4.1: p(n) is as 1/n.
    span = MaskingPolicy(20, unit="span").unit_lengths()
    assert len(span) == 10
    np.testing.assert_allclose(span[1:] / span[:-1], 0.8)
    assert (np.arange(1, 11) * span).sum() == pytest.approx(3.8, abs=0.01)  # SpanBERT, section 3.1.


def test_rates_at_their_limits_are_accepted() -> None:
    for rates in ({"mask_prob": 1.0, "random_prob": 0.0}, {"mask_prob": 0.0, "random_prob": 0.0}):
        MaskingPolicy(20, **rates)
    MaskingPolicy(20, mask_prob=0.9, random_prob=0.1)  # 0.9 + 0.1 is above 1 in some orders of addition.
    for unit in UNITS:
        MaskingPolicy(20, unit=unit, max_ngram_size=1)


NAN = float("nan")


@pytest.mark.parametrize(
    "values",
    [
        {"masked_lm_prob": 0.0},
        {"masked_lm_prob": 1.1},
        {"masked_lm_prob": NAN},
        {"mask_prob": -0.1},
        {"mask_prob": NAN},
        {"mask_prob": 0.95},
        {"random_prob": -0.1},
        {"random_prob": 0.3},
        {"random_prob": NAN},
        {"unit": "letter"},
        {"max_ngram_size": 0},
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Received: "):
        MaskingPolicy(20, **values)
