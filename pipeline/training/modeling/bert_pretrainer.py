"""The pre-trainer: an encoder, the masked-LM head and classification heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.modeling.masked_lm import MaskedLM


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class BertPretrainerV2(keras.Model):
    """An encoder with a masked-LM head and classification heads, as in tensorflow/models.

    Inputs: the encoder's, and `masked_lm_positions`, int32 `[batch, num_predictions]`, which may be
    left out where no masked-LM logits are wanted.

    Outputs, a dictionary: the encoder's `sequence_output`, `pooled_output` and, if it gives them,
    `encoder_outputs`; `mlm_logits`, float32 `[batch, num_predictions, vocab_size]`; each head's
    logits by its name.

    Args:
        encoder_network: the encoder, with a `get_embedding_table()`.
        mlm_activation: activation of the masked-LM head.
        mlm_initializer: initialiser of the masked-LM head.
        classification_heads: layers upon the sequence output, of different names.
        customized_masked_lm: a masked-LM head to use instead of `MaskedLM`; the arguments for that
            are then ignored.
        name: name of the model.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if two heads share a name.
    """

    def __init__(
        self,
        encoder_network: Any,
        mlm_activation: Any = None,
        mlm_initializer: Any = "glorot_uniform",
        classification_heads: Sequence[Any] | None = None,
        customized_masked_lm: Any = None,
        name: str = "bert",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.encoder_network = encoder_network
        self.mlm_activation = keras.activations.get(mlm_activation)
        self.mlm_initializer = keras.initializers.get(mlm_initializer)
        self.classification_heads = list(classification_heads or [])
        names = [head.name for head in self.classification_heads]
        if len(set(names)) != len(names):
            raise ValueError(f"Classification heads must have different names. Received: {names}.")
        self.masked_lm = customized_masked_lm or MaskedLM(
            embedding_table=encoder_network.get_embedding_table(),
            activation=self.mlm_activation,
            initializer=self.mlm_initializer,
            dtype=self.dtype_policy,
            name="cls_predictions",
        )
        encoder_inputs = encoder_network.inputs
        if not isinstance(encoder_inputs, Mapping):
            encoder_inputs = {tensor.name: tensor for tensor in encoder_inputs}
        self.inputs = {
            **encoder_inputs,
            "masked_lm_positions": keras.Input((None,), dtype="int32", name="masked_lm_positions"),
        }
        self.outputs = self(self.inputs)

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Encodes a batch and applies the heads; see the class for inputs and outputs."""
        if not isinstance(inputs, Mapping):
            inputs = dict(zip(self.inputs, inputs, strict=False))
        outputs = self.encode(inputs, training=training)
        if "masked_lm_positions" in inputs:
            outputs["mlm_logits"] = self.masked_lm(
                outputs["sequence_output"], masked_positions=inputs["masked_lm_positions"]
            )
        return outputs

    def encode(self, inputs: Mapping[str, Any], training: bool | None = None) -> dict[str, Any]:
        """The outputs without `mlm_logits`."""
        encoded = self.encoder_network(
            {name: inputs[name] for name in self.inputs if name != "masked_lm_positions"},
            training=training,
        )
        if isinstance(encoded, Mapping):
            outputs = dict(encoded)
        else:
            sequence, pooled = encoded[:2]
            outputs = {"sequence_output": sequence, "pooled_output": pooled}
            if isinstance(sequence, (list, tuple)):
                outputs.update(sequence_output=sequence[-1], encoder_outputs=sequence)
        for head in self.classification_heads:
            scored = head(outputs["sequence_output"], training=training)
            outputs.update(scored if isinstance(scored, Mapping) else {head.name: scored})
        return outputs

    def score_positions(self, sequence_output: Any, rows_and_positions: Any) -> Any:
        """Masked-LM logits at single places, so that padding among predictions costs nothing.

        Args:
            sequence_output: `[batch, seq_length, hidden_size]`.
            rows_and_positions: integers `[n, 2]`: an example and a position in it.

        Returns:
            float32 `[n, vocab_size]`.
        """
        return self.masked_lm.score(tf.gather_nd(sequence_output, rows_and_positions))

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "encoder_network": serialize(self.encoder_network),
            "mlm_activation": keras.activations.serialize(self.mlm_activation),
            "mlm_initializer": keras.initializers.serialize(self.mlm_initializer),
            "classification_heads": [serialize(head) for head in self.classification_heads],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> BertPretrainerV2:
        """Builds a model from `get_config()`."""
        config = dict(config)
        deserialize = keras.saving.deserialize_keras_object
        config["encoder_network"] = deserialize(config["encoder_network"])
        config["classification_heads"] = [deserialize(h) for h in config["classification_heads"]]
        return cls(**config)
