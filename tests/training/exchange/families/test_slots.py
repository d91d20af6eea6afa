from __future__ import annotations

import keras
import numpy as np

from pipeline.training.exchange.families.slots import Slot, dense_slots, norm_slots


def test_several_variables_lie_side_by_side() -> None:
    layers = [keras.layers.Dense(width) for width in (2, 3)]
    for layer in layers:
        layer.build((None, 4))
    weight, bias = dense_slots("both", *layers)
    assert (weight.name, weight.shape, bias.name, bias.shape) == ("both.weight", (4, 5), "both.bias", (5,))
    value = np.arange(20, dtype=np.float32).reshape(5, 4)
    weight.assign(value)
    bias.assign(np.arange(5))
    np.testing.assert_array_equal(layers[0].kernel, value[:2].T)
    np.testing.assert_array_equal(layers[1].kernel, value[2:].T)
    np.testing.assert_array_equal(layers[1].bias, [2, 3, 4])
    np.testing.assert_array_equal(weight.read(), value)
    assert weight.read().flags.c_contiguous


def test_a_bias_that_is_not_there_has_no_slot() -> None:
    dense, norm = keras.layers.Dense(2, use_bias=False), keras.layers.LayerNormalization(center=False)
    for layer in (dense, norm):
        layer.build((None, 4))
    assert [slot.name for slot in (*dense_slots("a", dense), *norm_slots("b", norm))] == ["a.weight", "b.weight"]


def test_a_single_variable() -> None:
    slot = Slot("x", (keras.Variable(np.zeros((3, 2), np.float32)),))
    slot.assign(np.ones((3, 2), np.float16))
    assert slot.read().dtype == np.float32
    np.testing.assert_array_equal(slot.read(), np.ones((3, 2)))
