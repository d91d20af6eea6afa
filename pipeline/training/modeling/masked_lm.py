"""The masked-LM head."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from pipeline.training.modeling.norms import make_norm


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class MaskedLM(keras.layers.Layer):
    """Predicts the original tokens at masked positions: a dense layer, an activation, a norm and the embedding table.

    The arguments and the computed numbers are those of tensorflow/models' `MaskedLM`.

    Args:
        embedding_table: the encoder's word embeddings, a variable `[vocab_size, width]`; shared, not copied.
        activation: activation of the dense layer.
        initializer: initialiser of the dense layer's kernel.
        output: "logits", or "predictions" for log-probabilities (the log-softmax of the logits).
        norm_epsilon: epsilon of the norm.
        norm: "layer_norm" or "rms_norm"; see `make_norm`.
        use_bias: whether the dense layer and the layer norm have biases. The logits always have a bias.
        name: name of the layer. Slashes, as in BERT's "cls/predictions", become underscores.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: if `output` or `norm` has another value.

    Example:

    ```python
    import numpy as np
    from pipeline.training import BertEncoder, MaskedLM

    encoder = BertEncoder(vocab_size=100, hidden_size=32, num_layers=1, num_attention_heads=2, inner_dim=64)
    head = MaskedLM(encoder.get_embedding_table(), activation="gelu")
    logits = head(np.zeros((1, 5, 32), "float32"), masked_positions=np.array([[1, 3]]))
    logits.shape  # (1, 2, 100)
    ```
    """

    def __init__(
        self,
        embedding_table: Any,
        activation: Any = None,
        initializer: Any = "glorot_uniform",
        output: str = "logits",
        norm_epsilon: float = 1e-12,
        norm: str = "layer_norm",
        use_bias: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Keras 3 allows no slash in names.
        super().__init__(name=name and name.replace("/", "_"), **kwargs)
        if output not in ("logits", "predictions"):
            raise ValueError(f'Unknown `output` value "{output}": it must be "logits" or "predictions".')
        # A closure hides the table from Keras, which would save it here a second time.
        self._shared_table = lambda: embedding_table
        self.activation = keras.activations.get(activation)
        self.initializer = keras.initializers.get(initializer)
        self.output_type = output
        self.norm_epsilon = norm_epsilon
        self.norm = norm
        self.use_bias = use_bias
        vocab_size, width = embedding_table.shape
        self.dense = keras.layers.Dense(
            width,
            activation=self.activation,
            use_bias=use_bias,
            kernel_initializer=self.initializer,
            dtype=self.dtype_policy,
            name="transform_dense",
        )
        self.layer_norm = make_norm(norm, "transform_layer_norm", epsilon=norm_epsilon, use_bias=use_bias)
        self.bias = self.add_weight(name="output_bias", shape=(vocab_size,), initializer="zeros")

    @property
    def embedding_table(self) -> Any:
        """The word embeddings that the head shares with the encoder."""
        return self._shared_table()

    def build(self, input_shape: Any) -> None:
        self.dense.build((None, input_shape[-1]))
        self.layer_norm.build((None, self.dense.units))

    def call(self, sequence_data: Any, masked_positions: Any) -> Any:
        """Predicts the tokens at all of `masked_positions`.

        Args:
            sequence_data: floats `[batch, seq_length, hidden_size]`, the encoder's sequence output.
            masked_positions: integers `[batch, num_predictions]`, in `[0, seq_length)`.

        Returns:
            float32 `[batch, num_predictions, vocab_size]`, logits or log-probabilities.
        """
        logits = self.score(self._gather_indexes(sequence_data, masked_positions))
        shape = tf.shape(masked_positions)
        logits = tf.reshape(logits, [shape[0], shape[1], logits.shape[-1]])
        return logits if self.output_type == "logits" else tf.nn.log_softmax(logits)

    def score(self, vectors: Any) -> Any:
        """Computes the logits for single hidden states.

        Args:
            vectors: floats `[n, hidden_size]`.

        Returns:
            float32 `[n, vocab_size]`.
        """
        vectors = tf.cast(self.layer_norm(self.dense(vectors)), self.compute_dtype)
        table = tf.cast(tf.convert_to_tensor(self.embedding_table), self.compute_dtype)
        logits = tf.matmul(vectors, table, transpose_b=True)
        return tf.cast(logits, tf.float32) + tf.cast(self.bias, tf.float32)

    def _gather_indexes(self, sequence_tensor: Any, positions: Any) -> Any:
        """The hidden states at `positions`, as `[batch * num_predictions, hidden_size]`."""
        gathered = tf.gather(sequence_tensor, positions, batch_dims=1)
        return tf.reshape(gathered, [-1, sequence_tensor.shape[-1]])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments without the embedding table.

        The table belongs to the encoder; `BertPretrainerV2` restores it.
        """
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "initializer": keras.initializers.serialize(self.initializer),
            "output": self.output_type,
            "norm_epsilon": self.norm_epsilon,
            "norm": self.norm,
            "use_bias": self.use_bias,
        }
