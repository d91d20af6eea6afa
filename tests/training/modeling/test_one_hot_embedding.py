from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.training.modeling.one_hot_embedding import OneHotEmbedding


def test_looks_up_with_a_dense_gradient() -> None:
    layer = OneHotEmbedding(2, 5)
    ids = tf.constant([[0, 1, 1], [0, 0, 1]])
    with tf.GradientTape() as tape:
        found = layer(ids)
        total = tf.reduce_sum(found * found)
    table = np.asarray(layer.embeddings)
    np.testing.assert_allclose(found, table[ids.numpy()], rtol=1e-6)
    gradient = tape.gradient(total, layer.embeddings.value)
    assert isinstance(gradient, tf.Tensor)
    np.testing.assert_allclose(gradient, 2 * 3 * table, rtol=1e-5)
