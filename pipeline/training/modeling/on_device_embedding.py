"""Embeddings that are looked up or multiplied."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class OnDeviceEmbedding(keras.layers.Layer):
    """Embeddings of ids, as tensorflow/models' `OnDeviceEmbedding`.

    Args:
        vocab_size: rows of the table.
        embedding_width: its width.
        initializer: initialiser of the table.
        use_one_hot: whether to multiply one-hot vectors with the table, which suits small tables, instead of gathering.
        scale_factor: factor of the embeddings; None for 1.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_width: int,
        initializer: Any = "glorot_uniform",
        use_one_hot: bool = False,
        scale_factor: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.embedding_width = embedding_width
        self.initializer = keras.initializers.get(initializer)
        self.use_one_hot = use_one_hot
        self.scale_factor = scale_factor

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.vocab_size, self.embedding_width), initializer=self.initializer
        )

    def call(self, inputs: Any) -> Any:
        """Looks up.

        Args:
            inputs: integers in [0, vocab_size), of any shape.

        Returns:
            The inputs' shape and `embedding_width`, in the layer's compute dtype.
        """
        table = tf.cast(tf.convert_to_tensor(self.embeddings), self.compute_dtype)
        if self.use_one_hot:
            embedded = tf.matmul(tf.one_hot(inputs, self.vocab_size, dtype=self.compute_dtype), table)
        else:
            embedded = tf.gather(table, inputs)
        return embedded * self.scale_factor if self.scale_factor else embedded

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "embedding_width": self.embedding_width,
            "initializer": keras.initializers.serialize(self.initializer),
            "use_one_hot": self.use_one_hot,
            "scale_factor": self.scale_factor,
        }
