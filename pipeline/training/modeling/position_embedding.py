"""Learned absolute positions."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class PositionEmbedding(keras.layers.Layer):
    """Learned embeddings of absolute positions, as BERT's.

    Args:
        max_length: longest sequence, in tokens.
        initializer: initialiser of the table.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, max_length: int, initializer: Any = "glorot_uniform", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_length, input_shape[-1]),
            initializer=self.initializer,
        )

    def call(self, inputs: Any) -> Any:
        """Positions for `inputs`.

        Args:
            inputs: `[batch, seq_length, width]`; only its shape matters.

        Returns:
            `[1, seq_length, width]`, to be added to what it positions.
        """
        length = keras.ops.shape(inputs)[1]
        return keras.ops.convert_to_tensor(self.embeddings)[None, :length]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "initializer": keras.initializers.serialize(self.initializer),
        }
