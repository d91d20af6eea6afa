from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.modeling.on_device_embedding import OnDeviceEmbedding


@pytest.mark.parametrize("use_one_hot", [False, True])
def test_looks_up(use_one_hot: bool) -> None:
    layer = OnDeviceEmbedding(2, 5, use_one_hot=use_one_hot, scale_factor=3.0)
    ids = tf.constant([[0, 1, 1], [0, 0, 1]])
    with tf.GradientTape() as tape:
        found = layer(ids)
        total = tf.reduce_sum(found * found)
    table = np.asarray(layer.embeddings)
    np.testing.assert_allclose(found, 3 * table[ids.numpy()], rtol=1e-6)
    gradient = tape.gradient(total, layer.embeddings.value)
    assert isinstance(gradient, tf.Tensor) == use_one_hot
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), 2 * 3 * 9 * table, rtol=1e-5)
    again = OnDeviceEmbedding.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
