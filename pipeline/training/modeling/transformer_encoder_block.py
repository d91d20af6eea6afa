"""One block of the encoder."""

from __future__ import annotations

from typing import Any

import keras

from pipeline.training.modeling.dropout import Dropout
from pipeline.training.modeling.initializers import clone_initializer
from pipeline.training.modeling.norms import make_norm
from pipeline.training.modeling.self_attention import SelfAttention


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class TransformerEncoderBlock(keras.layers.Layer):
    """Self-attention and two dense layers, each with dropout, residual and layer norm.

    Arguments and numbers are those of tensorflow/models' `TransformerEncoderBlock`. Dropout after attention is
    `output_dropout`, as in BERT; there it is `attention_dropout`, which matters if the two differ.

    Args:
        num_attention_heads: attention heads.
        inner_dim: width between the two dense layers.
        inner_activation: activation between them.
        output_range: how many positions, from the first, the block computes an output for; None for all.
        kernel_initializer: initialiser of every kernel.
        bias_initializer: initialiser of every bias.
        use_bias: whether the projections of the attention have biases.
        norm_first: layer norm before attention and dense layers (https://arxiv.org/abs/2002.04745)
            instead of after the residual, as BERT has it.
        norm_epsilon: epsilon of the layer norms.
        output_dropout: dropout after attention and after the second dense layer.
        attention_dropout: dropout of the attention probabilities.
        inner_dropout: dropout between the two dense layers.
        attention_initializer: initialiser of the attention's kernels; by default `kernel_initializer`.
        use_query_residual: whether the input is added to what attention makes of it.
        key_dim: width of a head's queries and keys; by default the width of the input over the heads, rounded down.
        value_dim: width of a head's values; by default `key_dim`.
        output_last_dim: width of the output; by default that of the input. Another one needs
            `use_query_residual=False`.
        diff_q_kv_att_layer_norm: with `norm_first`, whether another sequence that is attended to has a layer norm of
            its own.
        return_attention_scores: whether the attention probabilities are returned as well.
        gated: whether the first dense layer is of twice the width, and half of its output, activated, is multiplied
            by the other half, the gate: with gelu GeGLU, with silu SwiGLU (https://arxiv.org/abs/2002.05202).
        norm: "layer_norm" or "rms_norm"; see `make_norm`.
        norm_bias: whether layer norms have biases.
        dense_bias: whether the two dense layers have biases.
        attention_norm: with `norm_first`, whether there is a norm before the attention. A first block whose input is
            normed already needs none.
        output_initializer: initialiser of the kernels whose output is added to the residual; by default
            `kernel_initializer`, or of the attention `attention_initializer`.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: without `norm_first`, for `diff_q_kv_att_layer_norm` or `attention_norm=False`.
    """

    def __init__(
        self,
        num_attention_heads: int,
        inner_dim: int,
        inner_activation: Any,
        output_range: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        *,
        use_bias: bool = True,
        norm_first: bool = False,
        norm_epsilon: float = 1e-12,
        output_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        inner_dropout: float = 0.0,
        attention_initializer: Any = None,
        use_query_residual: bool = True,
        key_dim: int | None = None,
        value_dim: int | None = None,
        output_last_dim: int | None = None,
        diff_q_kv_att_layer_norm: bool = False,
        return_attention_scores: bool = False,
        gated: bool = False,
        norm: str = "layer_norm",
        norm_bias: bool = True,
        dense_bias: bool = True,
        attention_norm: bool = True,
        output_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        # Under mixed precision the sum that blocks add to stays in float32: layers inside cast for themselves.
        super().__init__(autocast=False, **kwargs)
        if diff_q_kv_att_layer_norm and not norm_first:
            raise ValueError("`diff_q_kv_att_layer_norm` needs `norm_first`. Received: norm_first=False.")
        if not attention_norm and not norm_first:
            raise ValueError("`attention_norm=False` needs `norm_first`. Received: norm_first=False.")
        self.num_attention_heads = num_attention_heads
        self.inner_dim = inner_dim
        self.inner_activation = keras.activations.get(inner_activation)
        self.output_range = output_range
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.use_bias = use_bias
        self.norm_first = norm_first
        self.norm_epsilon = norm_epsilon
        self.output_dropout = output_dropout
        self.attention_dropout = attention_dropout
        self.inner_dropout = inner_dropout
        self.attention_initializer = keras.initializers.get(attention_initializer or self.kernel_initializer)
        self.use_query_residual = use_query_residual
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.output_last_dim = output_last_dim
        self.diff_q_kv_att_layer_norm = diff_q_kv_att_layer_norm
        self.return_attention_scores = return_attention_scores
        self.gated = gated
        self.norm = norm
        self.norm_bias = norm_bias
        self.dense_bias = dense_bias
        self.attention_norm = attention_norm
        self.output_initializer = keras.initializers.get(output_initializer)

    def build(self, input_shape: Any) -> None:
        """Makes the weights.

        Args:
            input_shape: the shape of the sequence, or the shapes of a list of inputs as `call` takes it.
        """
        shapes = input_shape if isinstance(input_shape[0], (list, tuple)) else [input_shape]
        width = shapes[0][-1]
        key_value_shape = shapes[1] if len(shapes) == 3 else shapes[0]
        output_width = self.output_last_dim or width
        policy = self.dtype_policy
        self.self_attention = SelfAttention(
            self.num_attention_heads,
            dropout=self.attention_dropout,
            kernel_initializer=self.attention_initializer,
            bias_initializer=self.bias_initializer,
            use_bias=self.use_bias,
            key_dim=self.key_dim,
            value_dim=self.value_dim,
            output_dim=self.output_last_dim,
            output_initializer=self.output_initializer,
            dtype=policy,
            name="self_attention",
        )
        self.attention_layer_norm: Any = None
        if self.attention_norm:
            self.attention_layer_norm = self._layer_norm(
                "self_attention_layer_norm", width if self.norm_first else output_width
            )
        self.attention_layer_norm_kv = None
        if self.diff_q_kv_att_layer_norm:
            self.attention_layer_norm_kv = self._layer_norm("self_attention_layer_norm_kv", key_value_shape[-1])
        inner, initializer = self.inner_dim, self.kernel_initializer
        self.intermediate_dense = self._dense(
            2 * inner if self.gated else inner, output_width, "intermediate", initializer
        )
        self.output_dense = self._dense(output_width, inner, "output", self.output_initializer or initializer)
        self.output_layer_norm = self._layer_norm("output_layer_norm", output_width)
        self.attention_output_dropout = Dropout(self.output_dropout, dtype=policy)
        self.inner_dropout_layer = Dropout(self.inner_dropout, dtype=policy)
        self.output_dropout_layer = Dropout(self.output_dropout, dtype=policy)
        # Last: with the same seed, weights that were drawn in this order are drawn again.
        self.self_attention.build(shapes[0], key_value_shape)

    def _layer_norm(self, name: str, width: int) -> Any:
        layer = make_norm(self.norm, name, epsilon=self.norm_epsilon, use_bias=self.norm_bias)
        layer.build((None, None, width))
        return layer

    def _dense(self, units: int, width: int, name: str, initializer: Any) -> keras.layers.Dense:
        layer = keras.layers.Dense(
            units,
            use_bias=self.dense_bias,
            kernel_initializer=clone_initializer(initializer),
            bias_initializer=clone_initializer(self.bias_initializer),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, None, width))
        return layer

    def call(
        self,
        inputs: Any,
        output_range: int | None = None,
        training: bool | None = None,
        rotary: tuple[Any, Any] | None = None,
    ) -> Any:
        """Transforms a sequence.

        Args:
            inputs: the sequence, `[batch, seq_length, width]`; or a list of it and the attention mask,
                `[batch, 1 or seq_length, key_length]`, 1 where the last axis may be attended to; or a list of it, of
                the sequence that is attended to, `[batch, key_length, its width]`, and the mask. A mask may be None, or
                what `local_attention.window_mask` returned.
            output_range: as the constructor's, over which it goes.
            training: whether dropout applies.
            rotary: the angles of rotary positions, of `rotary_angles`, if the attention has them.

        Returns:
            `[batch, seq_length or output_range, width]`; with `return_attention_scores` a tuple of it and the
            attention probabilities, `[batch, heads, seq_length or output_range, key_length]`.

        Raises:
            ValueError: for a list of another length.
        """
        sequence, key_value, attention_mask = _three(inputs)
        output_range = output_range or self.output_range
        sequence = residual = keras.ops.cast(sequence, "float32")
        if self.norm_first and self.attention_layer_norm is not None:
            sequence = self.attention_layer_norm(sequence)
            if key_value is not None:
                key_value = (self.attention_layer_norm_kv or self.attention_layer_norm)(key_value)
        if output_range:
            key_value = sequence if key_value is None else key_value
            sequence, residual = sequence[:, :output_range], residual[:, :output_range]
            attention_mask = None if attention_mask is None else attention_mask[:, :output_range]
        x, scores = self.self_attention(sequence, attention_mask, key_value, training=training, rotary=rotary)
        x = keras.ops.cast(self.attention_output_dropout(x, training=training), "float32")
        if self.use_query_residual:
            x = residual + x
        if self.norm_first:
            x = x + self._feed_forward(self.output_layer_norm(x), training)
        else:
            x = self.attention_layer_norm(x)
            x = self.output_layer_norm(x + self._feed_forward(x, training))
        return (x, scores) if self.return_attention_scores else x

    def _feed_forward(self, x: Any, training: bool | None) -> Any:
        x = self.intermediate_dense(x)
        if self.gated:
            x, gate = keras.ops.split(x, 2, axis=-1)
            x = self.inner_activation(x) * gate
        else:
            x = self.inner_activation(x)
        x = self.inner_dropout_layer(x, training=training)
        return keras.ops.cast(self.output_dropout_layer(self.output_dense(x), training=training), "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_attention_heads": self.num_attention_heads,
            "inner_dim": self.inner_dim,
            "inner_activation": keras.activations.serialize(self.inner_activation),
            "output_range": self.output_range,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "use_bias": self.use_bias,
            "norm_first": self.norm_first,
            "norm_epsilon": self.norm_epsilon,
            "output_dropout": self.output_dropout,
            "attention_dropout": self.attention_dropout,
            "inner_dropout": self.inner_dropout,
            "attention_initializer": keras.initializers.serialize(self.attention_initializer),
            "use_query_residual": self.use_query_residual,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "output_last_dim": self.output_last_dim,
            "diff_q_kv_att_layer_norm": self.diff_q_kv_att_layer_norm,
            "return_attention_scores": self.return_attention_scores,
            "gated": self.gated,
            "norm": self.norm,
            "norm_bias": self.norm_bias,
            "dense_bias": self.dense_bias,
            "attention_norm": self.attention_norm,
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }


def _three(inputs: Any) -> tuple[Any, Any, Any]:
    """The sequence, another that is attended to, and the mask."""
    if not isinstance(inputs, (list, tuple)):
        return inputs, None, None
    if len(inputs) == 2:
        return inputs[0], None, inputs[1]
    if len(inputs) == 3:
        return inputs[0], inputs[1], inputs[2]
    raise ValueError(f"A list of inputs must have two or three items. Received: {len(inputs)}.")
