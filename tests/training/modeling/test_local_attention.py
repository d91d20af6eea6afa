from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.modeling import local_attention
from pipeline.training.modeling.local_attention import band, join_blocks, split_blocks, window_mask, with_neighbours
from pipeline.training.modeling.rotary import rotary_angles
from pipeline.training.modeling.self_attention import SelfAttention

LENGTHS = (1, 5, 8, 9, 16, 17, 31, 64, 65)


def segments_of(length: int) -> np.ndarray:
    """A full row, a padded one, and two packed ones."""
    places = np.arange(length)
    packed = 1 + (places >= length // 3) + (places >= length // 2)
    rows = [np.ones(length), places < length // 2 + 1, packed, packed * (places < length - 2)]
    return np.stack(rows).astype(np.int32)


def allowed(segments: np.ndarray, window: int) -> np.ndarray:
    """Whether each token of a row may attend to each other: `[batch, length, length]`."""
    places = np.arange(segments.shape[1])
    near = np.abs(places[:, None] - places[None, :]) <= window // 2
    return near & (segments[:, :, None] == segments[:, None, :])


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("window", "block"), [(2, None), (8, None), (8, 4), (8, 7), (8, 16)])
def test_the_mask_is_the_windows(length: int, window: int, block: int | None) -> None:
    """Each key that a query may attend to stands once among its block's, and no other does."""
    segments = segments_of(length)
    mask = np.asarray(window_mask(tf.constant(segments), window, block))
    size, side = local_attention.layout_of(mask)
    found = np.zeros((4, length, length))
    for row, number, query, key in np.argwhere(mask):
        here, there = number * size + query, number * size + key - side
        if here < length:
            found[row, here, there] += 1
    np.testing.assert_array_equal(found, allowed(segments, window))
    if block is None:
        assert mask.shape[3] == (length if length <= 4 * window else 3 * window // 2)
    np.testing.assert_array_equal(band(length, window), allowed(np.ones((1, length)), window)[0])


def test_blocks_and_neighbours() -> None:
    heads = tf.reshape(tf.range(1.0, 8.0), [1, 1, 7, 1])
    np.testing.assert_array_equal(split_blocks(heads, 3)[0, 0, :, :, 0], [[1, 2, 3], [4, 5, 6], [7, 0, 0]])
    np.testing.assert_array_equal(
        with_neighbours(heads, 3, 2)[0, 0, :, :, 0],
        [[0, 0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7, 0], [5, 6, 7, 0, 0, 0, 0]],
    )
    np.testing.assert_array_equal(join_blocks(split_blocks(heads, 3), 7), heads)


def dense_reference(layer: SelfAttention, x: np.ndarray, mask: np.ndarray, theta: float) -> np.ndarray:
    """Masked attention with rotary positions, in numpy and float64, one head at a time."""
    names = ("query", "key", "value", "attention_output")
    kernels = {name: np.asarray(getattr(layer, f"{name}_dense").kernel, np.float64) for name in names}
    width, heads = x.shape[-1] // layer.num_heads, []
    angles = np.arange(x.shape[1])[:, None] * theta ** (-2.0 * np.arange(width // 2) / width)
    for head in range(layer.num_heads):
        part = slice(width * head, width * (head + 1))
        query, key, value = (x.astype(np.float64) @ kernels[name][:, part] for name in names[:3])
        query, key = (
            (each[..., : width // 2] + 1j * each[..., width // 2 :]) * np.exp(1j * angles) for each in (query, key)
        )
        scores = (query @ np.conj(key).transpose(0, 2, 1)).real / np.sqrt(width)
        scores = np.where(mask, scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(shares / shares.sum(-1, keepdims=True) @ value)
    return np.concatenate(heads, -1) @ kernels["attention_output"]


def make_layer(policy: str = "float32") -> SelfAttention:
    layer = SelfAttention(2, use_bias=False, kernel_initializer="orthogonal", dtype=policy)
    layer.build((None, None, 12))
    return layer


def attend(layer: SelfAttention, x: Any, segments: Any, window: int = 8) -> Any:
    angles = rotary_angles(tf.range(tf.shape(x)[1])[None], 6, 100.0)
    return layer(x, window_mask(segments, window), rotary=angles)[0]


@pytest.mark.parametrize("length", LENGTHS)
def test_blocks_compute_what_a_dense_mask_does(length: int) -> None:
    segments, layer = segments_of(length), make_layer()
    x = np.random.default_rng(length).normal(size=(4, length, 12)).astype(np.float32)
    expected = dense_reference(layer, x, allowed(segments, 8), 100.0)
    found = np.asarray(attend(layer, tf.constant(x), tf.constant(segments)))
    real = segments > 0  # What padding attends to is of no use.
    np.testing.assert_allclose(found[real], expected[real], atol=1e-5)


def test_gradients_lengths_known_late_and_xla() -> None:
    """By a dense mask, in blocks, in blocks of a length that the graph does not know, and compiled by XLA."""
    segments, layer = tf.constant(segments_of(45)), make_layer()
    x = tf.random.stateless_normal((4, 45, 12), seed=(3, 4))
    real = tf.cast(segments > 0, tf.float32)[..., None]

    def gradients(x: Any, segments: Any, in_blocks: bool = True) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            if in_blocks:
                out = attend(layer, x, segments)
            else:
                angles = rotary_angles(tf.range(45)[None], 6, 100.0)
                out = layer(x, tf.constant(allowed(segments.numpy(), 8)), rotary=angles)[0]
            loss = tf.reduce_sum((out * real) ** 3)
        return [tf.convert_to_tensor(each) for each in tape.gradient(loss, [x, *(w.value for w in layer.weights)])]

    expected = gradients(x, segments, in_blocks=False)
    unknown = [tf.TensorSpec([None, None, 12]), tf.TensorSpec([None, None], tf.int32)]
    ways = (
        gradients,
        tf.function(gradients, input_signature=unknown),
        tf.function(gradients, jit_compile=True),
        tf.function(gradients, input_signature=unknown, jit_compile=True),
    )
    for way in ways:
        for found, wanted in zip(way(x, segments), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy: str) -> None:
    layer, half = make_layer(), make_layer(policy)
    half.set_weights(layer.get_weights())
    x, segments = tf.random.stateless_normal((4, 45, 12), seed=(3, 4)), tf.constant(segments_of(45))
    expected, found = attend(layer, x, segments), attend(half, x, segments)
    assert found.dtype == half.compute_dtype
    tolerance = 0.05 if "bfloat" in policy else 0.01
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=tolerance)
    assert np.abs(expected).max() > 20 * tolerance
