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
    """Combines an encoder with a masked-LM head and a classifier on the pooled output, as in tensorflow/models.

    `MaskedLMTask` trains `BertPretrainerV2`; this class is for code written for the first version.

    **Inputs**: a dictionary, or a list in this order, of the encoder's inputs and `masked_lm_positions`, int32
    `[batch, num_token_predictions]`. A dictionary may also contain the encoder's `optional_inputs` (see `BertEncoder`).

    **Outputs**: a dictionary of `masked_lm`, float32 `[batch, num_token_predictions, vocab_size]`, and
    `classification`, `[batch, num_classes]`, or `[batch, sequences, num_classes]` with `next_sentence_positions`.

    Args:
        network: the encoder; it must have a method `get_embedding_table()`.
        num_classes: number of classes of the classifier.
        num_token_predictions: number of predictions in an example.
        embedding_table: embedding table of the masked-LM head; by default, the encoder's.
        activation: activation of the masked-LM head.
        initializer: initialiser of both heads.
        output: "logits", or "predictions" for log-probabilities (the log-softmax of the logits).
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: if `output` has another value, or the encoder has no pooled output.
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
        """Encodes a batch and applies the heads.

        Args:
            inputs: a dictionary or a list; see the class.
            training: whether dropout applies.

        Returns:
            A dictionary; see the class.
        """
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
        """Builds a model from the result of `get_config()`."""
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
    """Checks that an encoder that receives packed rows keeps their sequences apart.

    Without this check, TensorFlow would turn the error into one of its own within a `tf.function`.

    Args:
        encoder: the encoder.
        names: the names of the features of a batch.

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
    """Combines an encoder with a masked-LM head and classification heads, as in tensorflow/models.

    **Inputs**: a dictionary, or a list in this order, of the encoder's inputs and `masked_lm_positions`, int32
    `[batch, num_predictions]`. Without `masked_lm_positions`, there are no `mlm_logits`. A dictionary may also contain
    the encoder's `optional_inputs`, which packed rows need (see `BertEncoder`).

    **Outputs**: a dictionary of:

    - `sequence_output`, and if the encoder returns them, `pooled_output` and `encoder_outputs`.
    - `mlm_logits`: float32 `[batch, num_predictions, vocab_size]`.
    - the logits of each classification head under its name: `[batch, num_classes]`, or
      `[batch, sequences, num_classes]` with `next_sentence_positions`.

    Args:
        encoder_network: the encoder; it must have a method `get_embedding_table()`.
        mlm_activation: activation of the masked-LM head.
        mlm_initializer: initialiser of the masked-LM head.
        classification_heads: layers that take the sequence output, such as `ClassificationHead`; each needs its own
            name.
        customized_masked_lm: a masked-LM head to use instead of `MaskedLM`, called with the same arguments. The other
            arguments for the masked-LM head are then ignored.
        mlm_options: further arguments of `MaskedLM`, such as `norm_epsilon`.
        name: name of the model.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: if two heads have the same name.

    Example:

    ```python
    import numpy as np
    from pipeline.training import BertEncoder, BertPretrainerV2, ClassificationHead

    encoder = BertEncoder(vocab_size=100, hidden_size=32, num_layers=2, num_attention_heads=2, inner_dim=64)
    heads = [ClassificationHead(inner_dim=32, num_classes=2, name="next_sentence")]
    model = BertPretrainerV2(encoder, mlm_activation="gelu", classification_heads=heads)
    outputs = model(
        {
            "input_word_ids": np.array([[2, 7, 4, 3, 0]]),
            "input_mask": np.array([[1, 1, 1, 1, 0]]),
            "input_type_ids": np.zeros((1, 5), "int32"),
            "masked_lm_positions": np.array([[2]]),
        }
    )
    outputs["mlm_logits"].shape  # (1, 1, 100)
    outputs["next_sentence"].shape  # (1, 2)
    ```
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
        """Encodes a batch and applies the heads.

        Args:
            inputs: a dictionary or a list; see the class.
            training: whether dropout applies.

        Returns:
            A dictionary; see the class.
        """
        if not isinstance(inputs, Mapping):
            inputs = dict(zip(self.inputs, inputs, strict=False))
        outputs = self.encode(inputs, training=training)
        if "masked_lm_positions" in inputs:
            outputs["mlm_logits"] = self.masked_lm(
                outputs["sequence_output"], masked_positions=inputs["masked_lm_positions"]
            )
        return outputs

    def encode(self, inputs: Mapping[str, Any], training: bool | None = None) -> dict[str, Any]:
        """Encodes a batch and applies the classification heads, but not the masked-LM head.

        Args:
            inputs: a dictionary; see the class.
            training: whether dropout applies.

        Returns:
            The outputs without `mlm_logits`; see the class.
        """
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
        """Whether `score_positions` computes the same as calling the masked-LM head; a customised head may not."""
        return getattr(type(self.masked_lm), "call", None) is MaskedLM.call

    def score_positions(self, sequence_output: Any, rows_and_positions: Any) -> Any:
        """Computes masked-LM logits at single positions, so that padding among the predictions costs nothing.

        Args:
            sequence_output: floats `[batch, seq_length, hidden_size]`.
            rows_and_positions: integers `[n, 2]`: the number of an example in the batch, and a position in it.

        Returns:
            float32 `[n, vocab_size]`.
        """
        return self.masked_lm.score(tf.gather_nd(sequence_output, rows_and_positions))

    def set_task(self, task: Any) -> None:
        """Sets the task that provides the loss, the metrics and the steps for `fit` and `evaluate`.

        `MaskedLMTask.build_model` calls this method. `compile` then needs only an optimiser. A loss that is passed to
        `compile` replaces the task's.

        Args:
            task: a `MaskedLMTask`, or an object that has its methods `build_metrics`, `metrics_without_labels`,
                `train_step` and `validation_step`.
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
        """The metrics of `compile`, and those of the task."""
        return [*super().metrics, *(self._task_metrics() if self._trains_by_task else [])]

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the model as `keras.Model.fit` does.

        If a record of `task.build_inputs` is damaged, the error names it.
        """
        with naming_records(*args, *kwargs.values()):
            return super().fit(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the model as `keras.Model.evaluate` does.

        If a record of `task.build_inputs` is damaged, the error names it.
        """
        with naming_records(*args, *kwargs.values()):
            return super().evaluate(*args, **kwargs)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Runs one step of `fit`."""
        if not self._trains_by_task:
            return super().train_step(data)
        inputs = _inputs(data)
        return self._log(inputs, self._task().train_step(inputs, self, self.optimizer, self._task_metrics()))

    def test_step(self, data: Any) -> dict[str, Any]:
        """Runs one step of `evaluate`."""
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
        """The parts that a checkpoint should contain in addition to the whole model, to start another model from."""
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
        """Builds a model from the result of `get_config()`."""
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
