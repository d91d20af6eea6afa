from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
import pytest

from pipeline.training.exchange.families import numpy_layers as layers

DRAW = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("gelu_new", lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2),
        ("relu", lambda x: max(x, 0)),
        ("silu", lambda x: x / (1 + math.exp(-x))),
    ],
)
def test_activations(name: str, function: Callable[[float], float]) -> None:
    x = np.linspace(-6, 6, 101)
    np.testing.assert_allclose(layers.ACTIVATIONS[name](x), [function(value) for value in x], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_dense_layer_and_layer_norm(bias: bool) -> None:
    x = DRAW.normal(size=(2, 3, 4))
    weights = {"a.weight": DRAW.normal(size=(5, 4)), "b.weight": DRAW.normal(size=4)}
    if bias:
        weights |= {"a.bias": DRAW.normal(size=5), "b.bias": DRAW.normal(size=4)}
    expected = np.einsum("bsi,oi->bso", x, weights["a.weight"]) + weights.get("a.bias", 0)
    np.testing.assert_allclose(layers.linear(weights, "a", x), expected, atol=1e-12)
    norm = keras.layers.LayerNormalization(epsilon=0.1, dtype="float64")
    norm.build(x.shape)
    norm.gamma.assign(weights["b.weight"])
    norm.beta.assign(weights.get("b.bias", np.zeros(4)))
    np.testing.assert_allclose(layers.layer_norm(weights, "b", x, 0.1), norm(x), atol=1e-12)


def test_attention_token_by_token() -> None:
    query, key, value = (DRAW.normal(size=(1, 2, 3, 4)) for _ in range(3))
    found = layers.attend(query, key, value, layers.blocked_by(np.array([[1, 1, 0]])))
    assert found.shape == (1, 3, 8)
    for head in range(2):
        for place in range(3):
            shares = [math.exp(query[0, head, place] @ key[0, head, other] / 2) for other in range(2)]
            expected = sum(share * value[0, head, other] for other, share in enumerate(shares)) / sum(shares)
            np.testing.assert_allclose(found[0, place, 4 * head : 4 * head + 4], expected, atol=1e-12)


def test_heads_and_positions() -> None:
    x = np.arange(12).reshape(1, 3, 4)
    np.testing.assert_array_equal(layers.split_heads(x, 2)[0, 1], [[2, 3], [6, 7], [10, 11]])
    np.testing.assert_array_equal(layers.at(x, np.array([[2, 0]]))[0], [[8, 9, 10, 11], [0, 1, 2, 3]])
