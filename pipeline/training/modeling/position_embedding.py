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
        seq_axis: the axis of the inputs along which they are positioned; the last one is their width.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, max_length: int, initializer: Any = "glorot_uniform", seq_axis: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length
        self.initializer = keras.initializers.get(initializer)
        self.seq_axis = seq_axis

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_length, input_shape[-1]),
            initializer=self.initializer,
        )

    def call(self, inputs: Any, positions: Any = None) -> Any:
        """Positions for `inputs`.

        Args:
            inputs: `[batch, seq_length, width]`, or of another rank with the sequence in `seq_axis`; only its shape
                matters.
            positions: integers `[batch, seq_length]` in [0, seq_length), where they are not 0, 1, 2...; the sequence
                is then the axis 1.

        Returns:
            The inputs' shape; with `positions` theirs, and the width.
        """
        shape = keras.ops.shape(inputs)
        length = shape[self.seq_axis]
        table = keras.ops.convert_to_tensor(self.embeddings)[:length]
        if positions is not None:
            return keras.ops.take(table, positions, axis=0)
        aligned = [1] * len(shape)
        aligned[self.seq_axis], aligned[-1] = length, table.shape[-1]
        return keras.ops.broadcast_to(keras.ops.reshape(table, aligned), shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "initializer": keras.initializers.serialize(self.initializer),
            "seq_axis": self.seq_axis,
        }
