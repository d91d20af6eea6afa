"""Multi-head attention."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.modeling.dropout import Dropout
from pipeline.training.modeling.initializers import clone_initializer
from pipeline.training.modeling.local_attention import join_blocks, layout_of, split_blocks, with_neighbours
from pipeline.training.modeling.rotary import rotate

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
        output_initializer: initialiser of the last projection; by default `kernel_initializer`.
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
        output_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        # The projections cast for themselves, and the angles of rotary positions stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_heads = num_heads
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.use_bias = use_bias
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.output_dim = output_dim
        self.output_initializer = keras.initializers.get(output_initializer or self.kernel_initializer)
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
            initializer = self.output_initializer if name == "attention_output" else self.kernel_initializer
            dense = keras.layers.Dense(
                units,
                use_bias=self.use_bias,
                kernel_initializer=clone_initializer(initializer),
                bias_initializer=clone_initializer(self.bias_initializer),
                dtype=self.dtype_policy,
                name=name,
            )
            dense.build((None, None, input_width))
            setattr(self, f"{name}_dense", dense)

    def call(
        self,
        inputs: Any,
        attention_mask: Any = None,
        key_value: Any = None,
        training: bool | None = None,
        rotary: tuple[Any, Any] | None = None,
    ) -> tuple[Any, Any]:
        """Attends.

        Args:
            inputs: `[batch, seq_length, width]`.
            attention_mask: `[batch, 1 or seq_length, key_length]`, 1 where the last axis may be
                attended to; or what `local_attention.window_mask` returned, for attention within a window.
            key_value: `[batch, key_length, its width]`, the sequence that is attended to; by default the inputs.
            training: whether dropout applies.
            rotary: the angles of rotary positions, of `rotary_angles`, if queries and keys have them.

        Returns:
            The output, `[batch, seq_length, output_dim]`, and the attention probabilities before dropout,
            `[batch, num_heads, seq_length, key_length]`, or within a window
            `[batch, num_heads, blocks, block, keys]`.
        """
        key_value = inputs if key_value is None else key_value
        query = self._split_heads(self.query_dense(inputs))  # [B, N, S, D]
        key = self._split_heads(self.key_dense(key_value))
        value = self._split_heads(self.value_dense(key_value))
        if rotary is not None:
            query, key = rotate(query, rotary), rotate(key, rotary)
        in_blocks = attention_mask is not None and len(attention_mask.shape) == 4
        if in_blocks:
            block, side = layout_of(attention_mask)
            query = split_blocks(query, block)  # [B, N, blocks, block, D]
            key, value = (with_neighbours(heads, block, side) for heads in (key, value))
        query = query * tf.cast(1.0 / math.sqrt(key.shape[-1]), query.dtype)
        logits = tf.matmul(query, key, transpose_b=True)  # [B, N, S, K], or [B, N, blocks, block, keys]
        # BERT's numbers are those of tensorflow/models, which takes the softmax in half precision.
        if rotary is not None or in_blocks:
            logits = tf.cast(logits, tf.float32)
        if attention_mask is not None:
            low = _MASKED.get(logits.dtype.name, _MASKED_DEFAULT)
            blocked = 1.0 - tf.cast(attention_mask[:, None], logits.dtype)
            logits += blocked * tf.cast(low, logits.dtype)
        probabilities = tf.nn.softmax(logits)
        weights = tf.cast(self._dropout(probabilities, training=training), value.dtype)
        context = tf.matmul(weights, value)
        shape = tf.shape(inputs)
        if in_blocks:
            context = join_blocks(context, shape[1])
        context = tf.transpose(context, [0, 2, 1, 3])  # [B, S, N, D]
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
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }
