from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.training.finite import all_finite, check_weights, largest_size, not_finite


def make_variables(*values: float) -> list[keras.Variable]:
    counter = keras.Variable(3, dtype="int64", name="counter")
    return [counter, *(keras.Variable([1.0, value], name=f"weight_{index}") for index, value in enumerate(values))]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found(value: float) -> None:
    good, bad = make_variables(-2.0, 3e38), make_variables(0.0, value, 2.0)
    assert bool(all_finite(good))
    assert not_finite(good) == []
    assert largest_size(good) == pytest.approx(3e38)
    assert not bool(all_finite(bad))
    assert not_finite(bad) == ["weight_1"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39, np.float16(np.inf)])
def test_weights_that_float32_cannot_hold_are_refused(value: float) -> None:
    good = {"a": np.array([1.0, 3e38]), "positions": np.array([2**62])}
    check_weights(good, "somewhere")
    names = "bcdef"
    with pytest.raises(InputError, match=r"somewhere must be finite.* in b, c, d and 2 more"):
        check_weights({**good, **{name: np.array([value]) for name in names}}, "somewhere")
