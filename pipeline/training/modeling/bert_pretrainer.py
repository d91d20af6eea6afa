"""The pre-trainers: an encoder, the masked-LM head and classification heads."""

from __future__ import annotations

import functools
from collections.abc import Container, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.training.dataset_errors import naming_records
from pipeline.training.modeling.built_model import BuiltModel
from pipeline.training.modeling.classification_head import PoolingHead
from pipeline.training.modeling.initializers import clone_initializer
from pipeline.training.modeling.masked_lm import MaskedLM


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class BertPretrainer(BuiltModel):
    """An encoder with a masked-LM head and a classifier upon its pooled output, as in tensorflow/models.

    `BertPretrainerV2` is the model that `MaskedLMTask` trains; this one is for code that was written for the first.

    Inputs: the encoder's, and `masked_lm_positions`, int32 `[batch, num_token_predictions]`, in a dictionary or in a
    list of this order. A dictionary may also hold the encoder's `optional_inputs` (see `BertEncoder`).

    Outputs, a dictionary: `masked_lm`, float32 `[batch, num_token_predictions, vocab_size]`, and `classification`,
    `[batch, num_classes]`, or with `next_sentence_positions` `[batch, sequences, num_classes]`.

    Args:
        network: the encoder, with a `get_embedding_table()`.
        num_classes: classes of the classifier.
        num_token_predictions: predictions of an example.
        embedding_table: the table of the masked-LM head; by default the encoder's.
        activation: activation of the masked-LM head.
        initializer: initialiser of both heads.
        output: "logits", or "predictions" for their log-softmax.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: for another `output`, or an encoder without pooled output.
    """

    def __init__(
        self,
        network: Any,
        num_classes: int,
        num_token_predictions: int,
        embedding_table: Any = None,
        activation: Any = None,
        initializer: Any = "glorot_uniform",
        output: str = "logits",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if getattr(network, "pooler_layer", network) is None:
            raise ValueError(
                f"`network` must have a pooled output. Received: {type(network).__name__}, which has no pooler;"
                " `BertPretrainerV2` needs none."
            )
        self.encoder = network
        self.num_classes = num_classes
        self.num_token_predictions = num_token_predictions
        self.activation = keras.activations.get(activation)
        self.initializer = keras.initializers.get(initializer)
        self.output_type = output
        self.masked_lm = MaskedLM(
            embedding_table=network.get_embedding_table() if embedding_table is None else embedding_table,
            activation=self.activation,
            initializer=clone_initializer(self.initializer),
            output=output,
            dtype=self.dtype_policy,
            name="cls_predictions",
        )
        self.classification = keras.layers.Dense(
            num_classes,
            activation=None if output == "logits" else "log_softmax",
            kernel_initializer=clone_initializer(self.initializer),
            dtype=self.dtype_policy,
            name="classification",
        )
        positions = keras.Input((num_token_predictions,), dtype="int32", name="masked_lm_positions")
        self.build_with({**_encoder_inputs(network), "masked_lm_positions": positions})

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Encodes a batch and applies the heads; see the class for inputs and outputs."""
        if not isinstance(inputs, Mapping):
            inputs = dict(zip(self.inputs, inputs, strict=True))
        outputs = _encode(self.encoder, inputs, training)
        return {
            "masked_lm": self.masked_lm(outputs["sequence_output"], masked_positions=inputs["masked_lm_positions"]),
            "classification": self.classification(outputs["pooled_output"]),
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "network": keras.saving.serialize_keras_object(self.encoder),
            "num_classes": self.num_classes,
            "num_token_predictions": self.num_token_predictions,
            "activation": keras.activations.serialize(self.activation),
            "initializer": keras.initializers.serialize(self.initializer),
            "output": self.output_type,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> BertPretrainer:
        """Builds a model from `get_config()`."""
        network = keras.saving.deserialize_keras_object(config["network"], custom_objects=custom_objects)
        return cls(**{**config, "network": network})


def _encoder_inputs(encoder: Any) -> dict[str, Any]:
    """The symbolic inputs of an encoder, by name."""
    if isinstance(encoder.inputs, Mapping):
        return dict(encoder.inputs)
    return {tensor.name: tensor for tensor in encoder.inputs}


def _known_inputs(encoder: Any) -> tuple[str, ...]:
    """Names of all that an encoder takes in a dictionary."""
    return (*_encoder_inputs(encoder), *getattr(encoder, "optional_inputs", ()))


def check_inputs(encoder: Any, names: Container[str]) -> None:
    """Makes sure that an encoder that is given packed rows keeps their sequences apart.

    Within a `tf.function` TensorFlow would turn the error into one of its own.

    Args:
        encoder: the encoder.
        names: of the features of a batch.

    Raises:
        ConfigError: if it does not.
    """
    known = _known_inputs(encoder)
    if "input_sequence_ids" in names and "input_sequence_ids" not in known:
        raise ConfigError(
            "Packed rows need an encoder that keeps their sequences apart, by `input_sequence_ids`",
            received=f"{type(encoder).__name__}, which takes {', '.join(known)}",
            do="Choose another encoder, or a corpus made without packing",
        )


def _encode(encoder: Any, inputs: Mapping[str, Any], training: bool | None) -> dict[str, Any]:
    """The outputs of an encoder, by name, whatever form it gives them."""
    check_inputs(encoder, inputs)
    encoded = encoder({name: inputs[name] for name in _known_inputs(encoder) if name in inputs}, training=training)
    if isinstance(encoded, Mapping):
        return dict(encoded)
    sequence, *pooled = encoded[:2] if getattr(encoder, "pooler_layer", encoder) is not None else encoded[:1]
    outputs = dict(zip(("pooled_output",), pooled, strict=False))
    if isinstance(sequence, (list, tuple)):
        return {"sequence_output": sequence[-1], **outputs, "encoder_outputs": sequence}
    return {"sequence_output": sequence, **outputs}


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class BertPretrainerV2(BuiltModel):
    """An encoder with a masked-LM head and classification heads, as in tensorflow/models.

    Inputs: the encoder's, and `masked_lm_positions`, int32 `[batch, num_predictions]`, which may be
    left out where no masked-LM logits are wanted.

    A dictionary may also hold the encoder's `optional_inputs`, for rows of several sequences (see `BertEncoder`).

    Outputs, a dictionary: the encoder's `sequence_output`, `pooled_output` and, if it gives them,
    `encoder_outputs`; `mlm_logits`, float32 `[batch, num_predictions, vocab_size]`; each head's
    logits by its name, `[batch, num_classes]`, or with `next_sentence_positions` `[batch, sequences, num_classes]`.

    Args:
        encoder_network: the encoder, with a `get_embedding_table()`.
        mlm_activation: activation of the masked-LM head.
        mlm_initializer: initialiser of the masked-LM head.
        classification_heads: layers upon the sequence output, of different names.
        customized_masked_lm: a masked-LM head to use instead of the standard `MaskedLM`, called as that
            is; the arguments for the standard one are then ignored.
        mlm_options: further arguments of the standard `MaskedLM`, such as `norm_epsilon`.
        name: name of the model.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: if two heads share a name.
    """

    _task: Any = None
    _task_metrics: Any = None

    def __init__(
        self,
        encoder_network: Any,
        mlm_activation: Any = None,
        mlm_initializer: Any = "glorot_uniform",
        classification_heads: Sequence[Any] | None = None,
        customized_masked_lm: Any = None,
        mlm_options: Mapping[str, Any] | None = None,
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
        self.mlm_options = dict(mlm_options or {})
        self._has_customized_masked_lm = customized_masked_lm is not None
        self.masked_lm = customized_masked_lm or MaskedLM(
            embedding_table=encoder_network.get_embedding_table(),
            activation=self.mlm_activation,
            initializer=self.mlm_initializer,
            dtype=self.dtype_policy,
            name="cls_predictions",
            **self.mlm_options,
        )
        positions = keras.Input((None,), dtype="int32", name="masked_lm_positions")
        self.build_with({**_encoder_inputs(encoder_network), "masked_lm_positions": positions})

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
        outputs = _encode(self.encoder_network, inputs, training)
        starts = inputs.get("next_sentence_positions")
        for head in self.classification_heads:
            # Heads of other classes may score every token.
            places = {"positions": starts} if starts is not None and isinstance(head, PoolingHead) else {}
            scored = head(outputs["sequence_output"], training=training, **places)
            outputs.update(scored if isinstance(scored, Mapping) else {head.name: scored})
        return outputs

    @property
    def can_score_positions(self) -> bool:
        """Whether `score_positions` gives what the masked-LM head's own call would; a customised head may not."""
        return getattr(type(self.masked_lm), "call", None) is MaskedLM.call

    def score_positions(self, sequence_output: Any, rows_and_positions: Any) -> Any:
        """Masked-LM logits at single places, so that padding among predictions costs nothing.

        Args:
            sequence_output: `[batch, seq_length, hidden_size]`.
            rows_and_positions: integers `[n, 2]`: an example and a position in it.

        Returns:
            float32 `[n, vocab_size]`.
        """
        return self.masked_lm.score(tf.gather_nd(sequence_output, rows_and_positions))

    def set_task(self, task: Any) -> None:
        """Gives the model its loss, metrics and steps for `fit` and `evaluate`; `task.build_model()` does it.

        The optimiser is then all that `compile` needs. A loss that is passed to `compile` replaces the task's.

        Args:
            task: a `MaskedLMTask`, or what has its `build_metrics`,
                `metrics_without_labels`, `train_step` and `validation_step`.
        """
        # How many predictions are real is known at run time only, which XLA does not take.
        self.supports_jit = False
        # Closures hide both from Keras, which would save the metrics with the model.
        metrics = task.build_metrics()
        self._task, self._task_metrics = (lambda: task), (lambda: metrics)

    @property
    def _trains_by_task(self) -> bool:
        return self._task is not None and getattr(self, "_compile_loss", None) is None

    @property
    def metrics(self) -> list[Any]:
        """Those of `compile`, and the task's."""
        return [*super().metrics, *(self._task_metrics() if self._trains_by_task else [])]

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`; where a record of `task.build_inputs` cannot be read, the error names it."""
        with naming_records(*args, *kwargs.values()):
            return super().fit(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; where a record of `task.build_inputs` cannot be read, the error names it."""
        with naming_records(*args, *kwargs.values()):
            return super().evaluate(*args, **kwargs)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of `fit`."""
        if not self._trains_by_task:
            return super().train_step(data)
        inputs = _inputs(data)
        return self._log(inputs, self._task().train_step(inputs, self, self.optimizer, self._task_metrics()))

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of `evaluate`."""
        if not self._trains_by_task:
            return super().test_step(data)
        inputs = _inputs(data)
        return self._log(inputs, self._task().validation_step(inputs, self, self._task_metrics()))

    def _log(self, inputs: Mapping[str, Any], logs: Mapping[str, Any]) -> dict[str, Any]:
        """The means since the epoch's beginning, the loss's weighted by examples as Keras does it."""
        self._loss_tracker.update_state(logs["loss"], sample_weight=tf.shape(inputs["input_word_ids"])[0])
        results = self.get_metrics_result()
        # Where nothing was counted, the mean would be shown as 0.
        uncounted = self._task().metrics_without_labels(inputs)
        return {name: value for name, value in results.items() if name not in uncounted}

    @property
    def checkpoint_items(self) -> dict[str, Any]:
        """What a checkpoint should hold beside the model as a whole, to start another model from."""
        items = {"encoder": self.encoder_network, "masked_lm": self.masked_lm}
        for head in self.classification_heads:
            for key, item in getattr(head, "checkpoint_items", {}).items():
                items[f"{head.name}.{key}"] = item
        return items

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "encoder_network": serialize(self.encoder_network),
            "mlm_activation": keras.activations.serialize(self.mlm_activation),
            "mlm_initializer": keras.initializers.serialize(self.mlm_initializer),
            "classification_heads": [serialize(head) for head in self.classification_heads],
            "customized_masked_lm": serialize(self.masked_lm) if self._has_customized_masked_lm else None,
            "mlm_options": dict(self.mlm_options),
            "masked_lm_shares_table": isinstance(self.masked_lm, MaskedLM),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> BertPretrainerV2:
        """Builds a model from `get_config()`."""
        config = dict(config)
        deserialize = functools.partial(keras.saving.deserialize_keras_object, custom_objects=custom_objects)
        encoder = config["encoder_network"] = deserialize(config["encoder_network"])
        config["classification_heads"] = [deserialize(head) for head in config["classification_heads"]]
        head, shares_table = config.get("customized_masked_lm"), config.pop("masked_lm_shares_table", False)
        if head is not None:
            if shares_table:
                arguments = {**head["config"], "embedding_table": encoder.get_embedding_table()}
                head = {**head, "config": arguments}
            config["customized_masked_lm"] = deserialize(head)
        return cls(**config)


def _inputs(data: Any) -> Mapping[str, Any]:
    """What `fit` and `evaluate` were given, as the batch that a task takes: labels may stand beside the features.

    Raises:
        ValueError: if the data are not such a batch, or include sample weights.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError(
            "`sample_weight` is not used: the weights of predictions are the batch's `masked_lm_weights`."
            " Multiply those, or give `compile` a loss."
        )
    if not isinstance(x, Mapping) or not (y is None or isinstance(y, Mapping)):
        raise ValueError(
            "A batch must be a dictionary of features and labels by name, or two of them."
            f" Received: {type(x).__name__} and {type(y).__name__}. Other labels need a loss in `compile`."
        )
    return {**x, **(y or {})}
