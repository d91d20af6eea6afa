from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.training.modeling.rotary import rotary_angles, rotate


def turned(heads: np.ndarray, positions: np.ndarray, theta: float) -> np.ndarray:
    """By complex numbers, in float64: features i and i + width / 2 are the two parts of one."""
    half = heads.shape[-1] // 2
    pairs = heads[..., :half].astype(np.float64) + 1j * heads[..., half:]
    frequencies = theta ** (-2.0 * np.arange(half) / heads.shape[-1])
    pairs = pairs * np.exp(1j * positions[:, None, :, None] * frequencies)
    return np.concatenate([pairs.real, pairs.imag], -1)


def test_queries_turn_by_the_formula() -> None:
    draw = np.random.default_rng(0)
    heads = draw.normal(size=(2, 3, 9, 8)).astype(np.float32)
    # The angles of large positions are rounded to float32.
    for positions, tolerance in ((np.arange(9)[None], 1e-6), (draw.integers(0, 8192, (2, 9)), 2e-3)):
        found = rotate(tf.constant(heads), rotary_angles(tf.constant(positions), 8, 10_000.0))
        np.testing.assert_allclose(found, turned(heads, positions, 10_000.0), atol=tolerance)


def test_products_depend_on_the_distance_alone() -> None:
    draw = np.random.default_rng(1)
    query, key = (draw.normal(size=(1, 1, 1, 16)).astype(np.float32) for _ in range(2))

    def product(there: int, here: int) -> float:
        turned = [
            rotate(tf.constant(heads), rotary_angles(tf.constant([[place]]), 16, 160_000.0))
            for heads, place in ((query, there), (key, here))
        ]
        return float(tf.reduce_sum(turned[0] * turned[1]))

    assert np.isclose(product(3, 10), product(103, 110), atol=1e-4)
    assert not np.isclose(product(3, 10), product(10, 3), atol=1e-2)


def test_half_precision_turns_by_angles_of_float32() -> None:
    """Cosines in bfloat16 would be wrong in the third digit, and those of large positions more so."""
    heads = np.ones((1, 1, 1, 8), np.float32)
    angles = rotary_angles(tf.constant([[4001]]), 8, 10_000.0)
    found = rotate(tf.constant(heads, tf.bfloat16), angles)
    assert found.dtype == tf.bfloat16
    expected = turned(heads, np.array([[4001]]), 10_000.0)
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, rtol=2**-7, atol=2**-7)


def test_angles_of_more_positions_than_there_are() -> None:
    heads = tf.random.stateless_normal((1, 2, 4, 6), seed=(1, 2))
    longer, exact = (rotary_angles(tf.range(length)[None], 6, 100.0) for length in (7, 4))
    np.testing.assert_array_equal(rotate(heads, longer), rotate(heads, exact))
