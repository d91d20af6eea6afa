"""One block of the encoder."""

from __future__ import annotations

from typing import Any

import keras

from pipeline.training.modeling.dropout import Dropout
from pipeline.training.modeling.initializers import clone_initializer
from pipeline.training.modeling.self_attention import SelfAttention


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class TransformerEncoderBlock(keras.layers.Layer):
    """Self-attention and two dense layers, each with dropout, residual and layer norm.

    Args:
        num_attention_heads: attention heads, which divide the width.
        inner_dim: width between the two dense layers.
        inner_activation: activation between them.
        output_dropout: dropout after attention and after the second dense layer.
        attention_dropout: dropout of the attention probabilities.
        kernel_initializer: initialiser of every kernel.
        norm_first: layer norm before attention and dense layers (https://arxiv.org/abs/2002.04745)
            instead of after the residual, as BERT has it.
        norm_epsilon: epsilon of the layer norms.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_attention_heads: int,
        inner_dim: int,
        inner_activation: Any,
        output_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        norm_first: bool = False,
        norm_epsilon: float = 1e-12,
        **kwargs: Any,
    ) -> None:
        # Under mixed precision the sum that blocks add to stays in float32: layers inside cast for themselves.
        super().__init__(autocast=False, **kwargs)
        self.num_attention_heads = num_attention_heads
        self.inner_dim = inner_dim
        self.inner_activation = keras.activations.get(inner_activation)
        self.output_dropout = output_dropout
        self.attention_dropout = attention_dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.norm_first = norm_first
        self.norm_epsilon = norm_epsilon

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        policy = self.dtype_policy
        self.self_attention = SelfAttention(
            self.num_attention_heads,
            dropout=self.attention_dropout,
            kernel_initializer=self.kernel_initializer,
            dtype=policy,
            name="self_attention",
        )
        # Layer norms stay in float32 under mixed precision, as in tensorflow/models.
        self.attention_layer_norm = keras.layers.LayerNormalization(
            epsilon=self.norm_epsilon, dtype="float32", name="self_attention_layer_norm"
        )
        self.intermediate_dense = keras.layers.Dense(
            self.inner_dim,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            dtype=policy,
            name="intermediate",
        )
        self.output_dense = keras.layers.Dense(
            width,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            dtype=policy,
            name="output",
        )
        self.output_layer_norm = keras.layers.LayerNormalization(
            epsilon=self.norm_epsilon, dtype="float32", name="output_layer_norm"
        )
        self.attention_output_dropout = Dropout(self.output_dropout, dtype=policy)
        self.output_dropout_layer = Dropout(self.output_dropout, dtype=policy)
        shape = (None, None, width)
        for layer in (
            self.self_attention,
            self.attention_layer_norm,
            self.intermediate_dense,
            self.output_layer_norm,
        ):
            layer.build(shape)
        self.output_dense.build((None, None, self.inner_dim))

    def call(self, inputs: Any, attention_mask: Any = None, training: bool | None = None) -> Any:
        """Transforms a sequence.

        Args:
            inputs: `[batch, seq_length, width]`.
            attention_mask: `[batch, 1 or seq_length, seq_length]`, 1 where the last axis may be
                attended to.
            training: whether dropout applies.

        Returns:
            `[batch, seq_length, width]`.
        """
        inputs = keras.ops.cast(inputs, "float32")
        if self.norm_first:
            x = inputs + self._attend(self.attention_layer_norm(inputs), attention_mask, training)
            return x + self._feed_forward(self.output_layer_norm(x), training)
        x = self.attention_layer_norm(inputs + self._attend(inputs, attention_mask, training))
        return self.output_layer_norm(x + self._feed_forward(x, training))

    def _attend(self, x: Any, attention_mask: Any, training: bool | None) -> Any:
        x = self.self_attention(x, attention_mask, training=training)
        return keras.ops.cast(self.attention_output_dropout(x, training=training), "float32")

    def _feed_forward(self, x: Any, training: bool | None) -> Any:
        x = self.output_dense(self.inner_activation(self.intermediate_dense(x)))
        return keras.ops.cast(self.output_dropout_layer(x, training=training), "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_attention_heads": self.num_attention_heads,
            "inner_dim": self.inner_dim,
            "inner_activation": keras.activations.serialize(self.inner_activation),
            "output_dropout": self.output_dropout,
            "attention_dropout": self.attention_dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "norm_first": self.norm_first,
            "norm_epsilon": self.norm_epsilon,
        }
