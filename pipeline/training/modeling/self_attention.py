"""Multi-head attention."""

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
    """Scaled dot-product attention of a sequence to itself, or to another (https://arxiv.org/abs/1706.03762).

    Computes what `keras.layers.MultiHeadAttention` does, with each projection one matrix product
    rather than an einsum over heads, which is faster on CPU.

    Args:
        num_heads: attention heads.
        dropout: dropout of the attention probabilities.
        kernel_initializer: initialiser of the projections.
        bias_initializer: initialiser of their biases.
        use_bias: whether they have biases.
        key_dim: width of a head's queries and keys; by default the width of the inputs over the heads, rounded down.
        value_dim: width of a head's values; by default `key_dim`.
        output_dim: width of the output; by default that of the inputs.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: when built, if there are more heads than the width has room for, and no `key_dim`.
    """

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        use_bias: bool = True,
        key_dim: int | None = None,
        value_dim: int | None = None,
        output_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.use_bias = use_bias
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.output_dim = output_dim
        self._dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape: Any, key_value_shape: Any = None) -> None:
        """Makes the weights.

        Args:
            input_shape: `(batch, seq_length, width)`.
            key_value_shape: that of the sequence that is attended to, if it is another.
        """
        width = input_shape[-1]
        key_value_width = (key_value_shape or input_shape)[-1]
        self.key_dim = self.key_dim or width // self.num_heads
        if not self.key_dim:
            raise ValueError(f"There must not be more heads than the width. Received: {self.num_heads} and {width}.")
        self.value_dim = self.value_dim or self.key_dim
        key_width, value_width = self.num_heads * self.key_dim, self.num_heads * self.value_dim
        for name, input_width, units in (
            ("query", width, key_width),
            ("key", key_value_width, key_width),
            ("value", key_value_width, value_width),
            ("attention_output", value_width, self.output_dim or width),
        ):
            dense = keras.layers.Dense(
                units,
                use_bias=self.use_bias,
                kernel_initializer=clone_initializer(self.kernel_initializer),
                bias_initializer=clone_initializer(self.bias_initializer),
                dtype=self.dtype_policy,
                name=name,
            )
            dense.build((None, None, input_width))
            setattr(self, f"{name}_dense", dense)

    def call(
        self, inputs: Any, attention_mask: Any = None, key_value: Any = None, training: bool | None = None
    ) -> tuple[Any, Any]:
        """Attends.

        Args:
            inputs: `[batch, seq_length, width]`.
            attention_mask: `[batch, 1 or seq_length, key_length]`, 1 where the last axis may be
                attended to.
            key_value: `[batch, key_length, its width]`, the sequence that is attended to; by default the inputs.
            training: whether dropout applies.

        Returns:
            The output, `[batch, seq_length, output_dim]`, and the attention probabilities before dropout,
            `[batch, num_heads, seq_length, key_length]`.
        """
        key_value = inputs if key_value is None else key_value
        query = self._split_heads(self.query_dense(inputs))  # [B, N, S, D]
        key = self._split_heads(self.key_dense(key_value))
        value = self._split_heads(self.value_dense(key_value))
        query = query * tf.cast(1.0 / math.sqrt(key.shape[-1]), query.dtype)
        logits = tf.matmul(query, key, transpose_b=True)  # [B, N, S, K]
        if attention_mask is not None:
            low = _MASKED.get(self.compute_dtype, _MASKED_DEFAULT)
            blocked = 1.0 - tf.cast(attention_mask[:, None], logits.dtype)
            logits += blocked * tf.cast(low, logits.dtype)
        probabilities = tf.nn.softmax(logits)
        weights = self._dropout(probabilities, training=training)
        context = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])  # [B, S, N, D]
        shape = tf.shape(inputs)
        context = tf.reshape(context, [shape[0], shape[1], self.num_heads * value.shape[-1]])
        return self.attention_output_dense(context), probabilities

    def _split_heads(self, projected: Any) -> Any:
        """`[batch, length, width]` as `[batch, heads, length, width of a head]`."""
        shape = tf.shape(projected)
        heads = tf.reshape(projected, [shape[0], shape[1], self.num_heads, projected.shape[-1] // self.num_heads])
        return tf.transpose(heads, [0, 2, 1, 3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "use_bias": self.use_bias,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "output_dim": self.output_dim,
        }
