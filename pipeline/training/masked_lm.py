"""The masked-LM task: model, data, losses, metrics and steps, as tensorflow/models' `MaskedLMTask`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.training import configs as cfg
from pipeline.training import task_factory
from pipeline.training.bert import PretrainerConfig, build_pretrainer
from pipeline.training.configs import MaskedLMConfig
from pipeline.training.data import loader, pretrain_dynamic_dataloader
from pipeline.training.data.limits import RecordLimits
from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2
from pipeline.training.objectives.base import Objective, Scored, score_all
from pipeline.training.objectives.registry import MASKED_LM, NEXT_SENTENCE, OBJECTIVES

logger = logging.getLogger(__name__)

__all__ = ["MaskedLMConfig", "MaskedLMTask", "cfg"]

Metrics = Sequence[keras.metrics.Metric] | None


def _after_its_batch(step: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Lets all that a step does wait for its batch.

    Within a `tf.function`, what needs no value of the batch, such as the counting of steps, would not: the step that
    finds the data at their end would count as well.
    """

    @functools.wraps(step)
    def wait_and_step(self: MaskedLMTask, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        with tf.control_dependencies(tf.nest.flatten(dict(inputs))):
            return step(self, inputs, *args, **kwargs)

    return wait_and_step


@task_factory.register_task_cls(MaskedLMConfig)
class MaskedLMTask:
    """Builds and trains a masked-LM pre-trainer, with the interface of tensorflow/models' `MaskedLMTask`.

    If the model has a classification head named "next_sentence", and the batches have labels for it, the task also
    trains next-sentence prediction.

    Args:
        params: the configuration of the model and the data.
        logging_dir: not used; part of tensorflow/models' signature.
        name: the name of the task.

    Example:

    ```python
    import keras
    from pipeline.training import MaskedLMConfig, MaskedLMTask

    encoder = {"vocab_size": 8192, "hidden_size": 128, "num_layers": 2, "num_attention_heads": 2}
    config = MaskedLMConfig(
        {"model": {"encoder": encoder}, "train_data": {"input_path": "out/corpus", "global_batch_size": 32}}
    )
    task = MaskedLMTask(config)
    model = task.build_model()
    model.compile(optimizer=keras.optimizers.AdamW(1e-4))
    model.fit(task.build_inputs(config.train_data), steps_per_epoch=100)
    ```
    """

    loss = "loss"

    def __init__(self, params: MaskedLMConfig, logging_dir: str | None = None, name: str | None = None) -> None:
        self.task_config = params
        self.logging_dir = logging_dir
        self.name = name
        self._traced_metrics: dict[bool | None, list[keras.metrics.Metric]] = {}

    def build_model(self, params: PretrainerConfig | None = None) -> BertPretrainerV2:
        """Builds the pre-trainer with random weights, its loss and its metrics.

        The model's `compile` needs only an optimiser. `initialize` loads the weights of `init_checkpoint`.

        Args:
            params: the configuration of the model; by default, the task's own.

        Returns:
            A `BertPretrainerV2`.

        Raises:
            ConfigError: if the configuration has no `vocab_size`.
        """
        model = build_pretrainer(params or self.task_config.model)
        model.set_task(self)
        return model

    @classmethod
    def create_optimizer(cls, optimizer_config: Any, runtime_config: cfg.RuntimeConfig | None = None) -> Any:
        """Creates an optimiser for your own training loop, as tensorflow/models' tasks do.

        Args:
            optimizer_config: a `pipeline.training.optimization.configs.OptimizationConfig`.
            runtime_config: if its `mixed_precision_dtype` is "float16", the optimiser scales the loss.

        Returns:
            A Keras optimiser; with float16, a `keras.optimizers.LossScaleOptimizer` around it.
        """
        from pipeline.training.optimization.optimizer_factory import OptimizerFactory

        factory = OptimizerFactory(optimizer_config)
        optimizer = factory.build_optimizer(factory.build_learning_rate())
        if runtime_config is not None and runtime_config.mixed_precision_dtype == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        return optimizer

    def initialize(self, model: BertPretrainerV2) -> None:
        """Loads the weights of `init_checkpoint` into a model, and logs where they come from.

        Without an `init_checkpoint`, the weights stay as they are. The checkpoint can be anything that `--init-from`
        accepts. It can also be a file that was saved from a model with the same configuration, or from its encoder: a
        `.keras` or `.weights.h5` file, a checkpoint of `tf.train.Checkpoint` or of a run, or the directory that
        `tf.saved_model.save` wrote.

        Args:
            model: the model, as `build_model` returns it.

        Raises:
            InputError: if the checkpoint cannot be read or does not fit the model.
        """
        path = self.task_config.init_checkpoint
        if path:
            from pipeline.training.exchange.own_checkpoint import start_from_own

            logger.info(start_from_own(model, path) or self._start(model, path))

    def _start(self, model: BertPretrainerV2, path: str) -> str:
        from pipeline.training.exchange import start

        positions = self.task_config.init_positions
        return start.start_from(model, start.read_source(path), positions=positions).description

    def build_inputs(
        self, params: cfg.DataConfig, input_context: Any = None, *, start_example: int = 0
    ) -> tf.data.Dataset:
        """Builds a dataset of batches, and checks that the records fit the model.

        Training datasets are shuffled and repeat forever; validation datasets return each example once, in order. A
        `BertPretrainDataConfig`, which has `seq_bucket_lengths`, is read by `PretrainingDynamicDataLoader`, always from
        the first record.

        Args:
            params: what to read, and how: the task's `train_data` or `validation_data`.
            input_context: a `tf.distribute.InputContext`; each input pipeline then reads its own part of each batch.
            start_example: the number of examples to skip in training, to continue where a run stopped. It must be the
                number of examples in all batches before; with batches of one size, a multiple of that size.

        Returns:
            A `tf.data.Dataset` of dictionaries from v2 feature names to int32 and float32 tensors `[batch, length]`.

        Raises:
            InputError: if no file is found.
            ConfigError: if a batch cannot be divided among the replicas, or `params` contradicts itself.
            CorpusError: if the records are damaged, differ from what `params` expects, or do not fit the model.
        """
        if isinstance(params, pretrain_dynamic_dataloader.BertPretrainDataConfig):
            return pretrain_dynamic_dataloader.PretrainingDynamicDataLoader(params).load(input_context)
        limits = RecordLimits.of(self.task_config.model.encoder)
        return loader.build_dataset(params, input_context, start_example=start_example, limits=limits)

    @property
    def objectives(self) -> Sequence[Objective]:
        """The objectives that the task can train: masked-LM and next-sentence prediction.

        An objective is skipped if the model has no head for it, or a batch has no labels for it.
        """
        return OBJECTIVES

    def build_losses(
        self,
        labels: Mapping[str, Any],
        model_outputs: Mapping[str, Any],
        metrics: Metrics,
        aux_losses: Sequence[Any] | None = None,
        *,
        totals: Mapping[str, Any] | None = None,
        scored: Mapping[str, Scored] | None = None,
    ) -> Any:
        """Computes the total loss of a batch.

        The masked-LM loss is the mean cross-entropy over the real predictions. The next-sentence loss is the mean over
        the examples, or over the sequences of packed rows. The total is the sum of both and of the auxiliary losses.

        Args:
            labels: `masked_lm_ids` and `masked_lm_weights`, both `[batch, num_predictions]`, or both `[n]` if the
                logits are those of single predictions. For next-sentence prediction also `next_sentence_labels`,
                `[batch, 1]`; or, for packed rows, `next_sentence_labels` and `next_sentence_weights`, both
                `[batch, sequences]`.
            model_outputs: `mlm_logits`, of the labels' shape with a last axis `vocab_size` added, and `next_sentence`,
                `[batch, 2]` or `[batch, sequences, 2]`.
            metrics: the metrics that `build_metrics` returned; those of the losses are updated.
            aux_losses: further losses to add, scalars.
            totals: for a part of a larger batch: the `total_weight` of each objective in the larger batch, by the
                objective's name. The losses of all parts then add up to the loss of the larger batch.
            scored: what `score_all` returned for this batch; computed here by default.

        Returns:
            The loss in nats, a float32 scalar.
        """
        scored = score_all(self.objectives, labels, model_outputs) if scored is None else scored
        by_name = _by_name(metrics)
        loss: Any = tf.constant(0.0)
        for objective in self.objectives:
            if objective.name not in scored:
                continue
            found = scored[objective.name]
            loss += objective.loss(found, totals[objective.name] if totals else None)
            if objective.loss_name in by_name:
                by_name[objective.loss_name].update_state(found.losses, sample_weight=found.predictions.weights)
        if aux_losses:
            loss += tf.add_n(aux_losses)
        return loss

    def build_metrics(self, training: bool | None = None) -> list[keras.metrics.Metric]:
        """Creates the metrics, with tensorflow/models' names.

        Within a `tf.function`, the metrics are created only once and then reused. TensorFlow traces the function again
        for batches of other lengths, and all traces must update the same metrics, which must outlive them.

        Args:
            training: whether the metrics are for training; distinguishes them only within a `tf.function`.

        Returns:
            An accuracy and a mean loss for the masked-LM head: "masked_lm_accuracy" and "lm_example_loss". If the model
            has a next-sentence head, and the task reads labels for it, also "next_sentence_accuracy" and
            "next_sentence_loss".
        """
        if not tf.inside_function():
            return self._new_metrics()
        if training not in self._traced_metrics:
            with tf.init_scope():
                self._traced_metrics[training] = self._new_metrics()
        return self._traced_metrics[training]

    def _new_metrics(self) -> list[keras.metrics.Metric]:
        task = self.task_config
        heads = {head.name for head in task.model.cls_heads}
        if task.train_data.use_next_sentence_label is False:
            heads.discard(NEXT_SENTENCE.name)
        wanted = [objective for objective in self.objectives if objective is MASKED_LM or objective.name in heads]
        return [metric for objective in wanted for metric in objective.build_metrics()]

    def metrics_without_labels(self, inputs: Mapping[str, Any]) -> set[str]:
        """Returns the names of the metrics that a batch has no labels for.

        Args:
            inputs: the batch: features and labels, by name.
        """
        return {
            name
            for objective in self.objectives
            if not inputs.keys() >= set(objective.labels)
            for name in (objective.loss_name, objective.accuracy_name)
        }

    def process_metrics(self, metrics: Metrics, labels: Mapping[str, Any], model_outputs: Mapping[str, Any]) -> None:
        """Updates the accuracies with the predictions of a batch.

        Args:
            metrics: the metrics that `build_metrics` returned.
            labels: the labels; see `build_losses`.
            model_outputs: the outputs of the model; see `build_losses`.
        """
        by_name = _by_name(metrics)
        for objective in self.objectives:
            if objective.accuracy_name in by_name:
                found = objective.predictions(labels, model_outputs)
                if found is not None:
                    by_name[objective.accuracy_name].update_state(found.labels, found.logits, found.weights)

    @_after_its_batch
    def train_step(self, inputs: Mapping[str, Any], model: Any, optimizer: Any, metrics: Metrics) -> dict[str, Any]:
        """Computes the loss and its gradients for a batch, and updates the weights once.

        If the optimiser scales the loss, such as Keras's `LossScaleOptimizer` for float16, the gradients are those of
        the scaled loss. In `fit`, the loss is divided by the number of replicas, as in Keras; in your own training
        loop, only if the configuration's `scale_loss` is true.

        Args:
            inputs: a batch, as the datasets of `build_inputs` return it.
            model: the model, as `build_model` returns it.
            optimizer: a Keras optimiser, or one with the same `apply_gradients`.
            metrics: the metrics that `build_metrics` returned; they are updated.

        Returns:
            A dictionary with the loss of the batch under "loss", a float32 scalar in nats.
        """
        with tf.GradientTape() as tape:
            labels, outputs = self.forward(inputs, model, training=True)
            loss = self.build_losses(labels, outputs, metrics, aux_losses=model.losses)
            scaled_loss = loss
            # The optimiser sums gradients over replicas.
            if self.task_config.scale_loss or getattr(model, "optimizer", None) is optimizer:
                scaled_loss = loss / tf.distribute.get_strategy().num_replicas_in_sync
            scale_loss = getattr(optimizer, "scale_loss", None)  # Optimisers other than Keras 3's may have none.
            if scale_loss is not None:
                scaled_loss = scale_loss(scaled_loss)
        variables = model.trainable_variables
        gradients = tape.gradient(scaled_loss, [variable.value for variable in variables])
        if not getattr(optimizer, "built", True):
            optimizer.build(variables)  # For all: at the end of `fit`, Keras hands its averages on to all.
        # The encoder's own pooler takes no part in pre-training: heads pool for themselves.
        # Dense: the norm of an embedding's gradient in slices, by which it would be clipped, is not its own.
        pairs = [(tf.convert_to_tensor(g), v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        optimizer.apply_gradients(pairs)
        self.process_metrics(metrics, labels, outputs)
        return {self.loss: loss}

    @_after_its_batch
    def validation_step(self, inputs: Mapping[str, Any], model: Any, metrics: Metrics) -> dict[str, Any]:
        """Computes the loss of a batch without updating the weights.

        Args:
            inputs: a batch, as the datasets of `build_inputs` return it.
            model: the model, as `build_model` returns it.
            metrics: the metrics that `build_metrics` returned; they are updated.

        Returns:
            A dictionary with the loss of the batch under "loss", a float32 scalar in nats.
        """
        labels, outputs = self.forward(inputs, model, training=False)
        loss = self.build_losses(labels, outputs, metrics, aux_losses=model.losses)
        self.process_metrics(metrics, labels, outputs)
        return {self.loss: loss}

    def inference_step(self, inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
        """Returns the model's outputs for a batch, without dropout.

        Args:
            inputs: the features, by name; labels are ignored.
            model: the model; see `BertPretrainerV2` for its outputs.
        """
        return model(inputs, training=False)

    def forward(
        self, inputs: Mapping[str, Any], model: Any, *, training: bool, static_shapes: bool = False
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """Runs the model on a batch, and computes masked-LM logits only for the real predictions.

        The logits over the vocabulary are the most expensive part of a small model, and padding among the predictions
        does not affect the loss. All positions are scored nevertheless if the model cannot score single
        positions, or with `static_shapes`.

        Args:
            inputs: the batch: features and labels, by name.
            model: the model, as `build_model` returns it.
            training: whether dropout applies.
            static_shapes: whether to keep all shapes independent of the batch's content, as XLA requires.

        Returns:
            A pair `(labels, outputs)` for `build_losses` and `process_metrics`. If only real predictions are scored,
            `masked_lm_ids` and `masked_lm_weights` are `[n]`, and `mlm_logits` is `[n, vocab_size]`.
        """
        if static_shapes or not getattr(model, "can_score_positions", False):
            return inputs, model(inputs, training=training)
        outputs = model.encode(inputs, training=training)
        places = tf.where(inputs["masked_lm_weights"] > 0)  # [n, 2]: example, prediction
        positions = tf.cast(tf.gather_nd(inputs["masked_lm_positions"], places), tf.int64)
        outputs["mlm_logits"] = model.score_positions(
            outputs["sequence_output"], tf.stack([places[:, 0], positions], axis=1)
        )
        real = {name: tf.gather_nd(inputs[name], places) for name in ("masked_lm_ids", "masked_lm_weights")}
        return {**inputs, **real}, outputs


def _by_name(metrics: Metrics) -> dict[str, keras.metrics.Metric]:
    return {metric.name: metric for metric in metrics or ()}
