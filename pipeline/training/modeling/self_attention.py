"""Multi-head self-attention."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.modeling.dropout import Dropout
from pipeline.training.modeling.initializers import clone_initializer

# Added to the logits of padding: exp() of it is zero in every float type.
_MASKED = {"float16": -3e4}
_MASKED_DEFAULT = -1e9


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product attention of a sequence to itself (https://arxiv.org/abs/1706.03762).

    Computes what `keras.layers.MultiHeadAttention` does, with each projection one matrix product
    rather than an einsum over heads, which is faster on CPU.

    Args:
        num_heads: attention heads, which divide the width.
        dropout: dropout of the attention probabilities.
        kernel_initializer: initialiser of the projections.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"{self.num_heads} heads must divide the width. Received: {width}.")
        self._head_size = width // self.num_heads
        shape = (None, None, width)
        for name in ("query", "key", "value", "attention_output"):
            dense = keras.layers.Dense(
                width,
                kernel_initializer=clone_initializer(self.kernel_initializer),
                dtype=self.dtype_policy,
                name=name,
            )
            dense.build(shape)
            setattr(self, f"{name}_dense", dense)

    def call(self, inputs: Any, attention_mask: Any = None, training: bool | None = None) -> Any:
        """Attends.

        Args:
            inputs: `[batch, seq_length, width]`.
            attention_mask: `[batch, 1 or seq_length, seq_length]`, 1 where the last axis may be
                attended to.
            training: whether dropout applies.

        Returns:
            `[batch, seq_length, width]`.
        """
        query = self._split_heads(self.query_dense(inputs))  # [B, N, S, D]
        key = self._split_heads(self.key_dense(inputs))
        value = self._split_heads(self.value_dense(inputs))
        query = query * tf.cast(1.0 / math.sqrt(self._head_size), query.dtype)
        logits = tf.matmul(query, key, transpose_b=True)  # [B, N, S, S]
        if attention_mask is not None:
            low = _MASKED.get(self.compute_dtype, _MASKED_DEFAULT)
            blocked = 1.0 - tf.cast(attention_mask[:, None], logits.dtype)
            logits += blocked * tf.cast(low, logits.dtype)
        probabilities = self._dropout(tf.nn.softmax(logits), training=training)
        context = tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3])  # [B, S, N, D]
        shape = tf.shape(inputs)
        context = tf.reshape(context, [shape[0], shape[1], self.num_heads * self._head_size])
        return self.attention_output_dense(context)

    def _split_heads(self, projected: Any) -> Any:
        """`[batch, seq_length, width]` as `[batch, heads, seq_length, head_size]`."""
        shape = tf.shape(projected)
        heads = tf.reshape(projected, [shape[0], shape[1], self.num_heads, self._head_size])
        return tf.transpose(heads, [0, 2, 1, 3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
