from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.optimization.averaging import WeightAverage


def make_weights(dtype: str = "float32") -> list[keras.Variable]:
    rng = np.random.default_rng(2)
    return [keras.Variable(rng.normal(size=shape), dtype=dtype, name=f"w{len(shape)}") for shape in ((4, 3), (5,))]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_averages_as_in_numpy(dtype: str) -> None:
    """In float32, whatever the weights are: the float16 of 1000 + 0.1 is 1000."""
    weights = make_weights(dtype)
    average = WeightAverage(weights, 0.5)
    strategy = tf.distribute.get_strategy()
    update = tf.function(average.update)
    rng = np.random.default_rng(3)
    expected = [weight.numpy().astype(np.float64) for weight in weights]
    for step in range(1, 15):
        for weight in weights:
            weight.assign(1000 + rng.normal(size=weight.shape))
        update(strategy, tf.constant(step, tf.int64))
        decay = min(0.5, (1 + step) / (10 + step))
        pairs = zip(expected, weights, strict=True)
        expected = [decay * one + (1 - decay) * weight.numpy().astype(np.float64) for one, weight in pairs]
    assert list(average.variables) == [weight.path for weight in weights]
    for variable, value in zip(average.variables.values(), expected, strict=True):
        assert variable.dtype == "float32"
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-6)


def test_weights_and_averages_change_places_exactly() -> None:
    """And back, when an evaluation fails as well."""
    weights = make_weights()
    average = WeightAverage(weights, 0.9)
    before = [weight.numpy() for weight in weights]
    for weight in weights:
        weight.assign(weight * 3.0)
    trained = [weight.numpy() for weight in weights]

    def assert_are(expected: list[np.ndarray], averages: list[np.ndarray]) -> None:
        for found, value in zip([*weights, *average.variables.values()], [*expected, *averages], strict=True):
            np.testing.assert_array_equal(found.numpy(), value)

    for failing in (False, True):
        try:
            with average.in_place_of_weights():
                assert_are(before, trained)
                if failing:
                    raise RuntimeError
        except RuntimeError:
            assert failing
        assert_are(trained, before)
    weights[0].assign_add(tf.ones([4, 3]))  # In place, after the swaps: nothing is shared.
    assert_are([trained[0] + 1.0, trained[1]], before)
    average.use()
    assert_are(before, before)


def test_restart() -> None:
    weights = make_weights()
    average = WeightAverage(weights, 0.9)
    weights[0].assign(weights[0] * 2.0)
    average.restart()
    for weight, variable in zip(weights, average.variables.values(), strict=True):
        np.testing.assert_array_equal(weight.numpy(), variable.numpy())
