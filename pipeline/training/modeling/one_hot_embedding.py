"""Embeddings of few ids."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class OneHotEmbedding(keras.layers.Embedding):
    """An embedding that looks up by a matrix product, for a table of few rows, as tensorflow/models' segments.

    Its gradient is a dense matrix. That of a lookup by index is a row for every token, and optimisers that
    clip by the global norm would take the norm of those rows, unsummed, for the gradient's.
    """

    def call(self, inputs: Any) -> Any:
        """Looks up.

        Args:
            inputs: integers in [0, input_dim), of any shape.

        Returns:
            The inputs' shape and `output_dim`, in the layer's compute dtype.
        """
        table = tf.cast(tf.convert_to_tensor(self.embeddings), self.compute_dtype)
        return tf.matmul(tf.one_hot(inputs, self.input_dim, dtype=self.compute_dtype), table)
