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
    """Builds and trains a masked-LM pre-trainer, with next-sentence prediction if it has that head.

    Args:
        params: the task's configuration.
        logging_dir: kept for tensorflow/models' signature.
        name: name of the task.
    """

    loss = "loss"

    def __init__(self, params: MaskedLMConfig, logging_dir: str | None = None, name: str | None = None) -> None:
        self.task_config = params
        self.logging_dir = logging_dir
        self.name = name
        self._traced_metrics: dict[bool | None, list[keras.metrics.Metric]] = {}

    def build_model(self, params: PretrainerConfig | None = None) -> BertPretrainerV2:
        """Builds the pre-trainer that the configuration describes; its `compile` needs an optimiser alone."""
        model = build_pretrainer(params or self.task_config.model)
        model.set_task(self)
        return model

    @classmethod
    def create_optimizer(cls, optimizer_config: Any, runtime_config: cfg.RuntimeConfig | None = None) -> Any:
        """Builds an optimiser for a training loop of one's own, as tensorflow/models' tasks do.

        Args:
            optimizer_config: a `pipeline.training.optimization.configs.OptimizationConfig`.
            runtime_config: with float16, the optimiser scales the loss.
        """
        from pipeline.training.optimization.optimizer_factory import OptimizerFactory

        factory = OptimizerFactory(optimizer_config)
        optimizer = factory.build_optimizer(factory.build_learning_rate())
        if runtime_config is not None and runtime_config.mixed_precision_dtype == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        return optimizer

    def initialize(self, model: BertPretrainerV2) -> None:
        """Sets the weights to those of `init_checkpoint`, if there is one, and logs which.

        That may be whatever `--init-from` takes, or what Keras or TensorFlow saved of a model of the same configuration
        or of its encoder: a `.keras` or `.weights.h5` file, a checkpoint of `tf.train.Checkpoint` or of a run, or the
        directory of a `tf.saved_model.save`.

        Raises:
            InputError: if it cannot be read or does not fit.
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
        """Builds a dataset of batches that the model has room for; see `loader.build_dataset`.

        A configuration with `seq_bucket_lengths` is read by `PretrainingDynamicDataLoader`, from the first record on.
        """
        if isinstance(params, pretrain_dynamic_dataloader.BertPretrainDataConfig):
            return pretrain_dynamic_dataloader.PretrainingDynamicDataLoader(params).load(input_context)
        limits = RecordLimits.of(self.task_config.model.encoder)
        return loader.build_dataset(params, input_context, start_example=start_example, limits=limits)

    @property
    def objectives(self) -> Sequence[Objective]:
        """What the model is trained by; those that it has no head for, or a batch no labels, take no part."""
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
        """The total loss of a batch.

        The masked-LM loss is the mean cross-entropy over real predictions; the next-sentence loss
        the mean over examples, or in packed rows over sequences; both are added up, and auxiliary losses with them.

        Args:
            labels: `masked_lm_ids` and `masked_lm_weights`, `[batch, num_predictions]`, or both
                `[n]` for logits of single predictions; `next_sentence_labels` `[batch, 1]` if wanted, or of packed
                rows, with `next_sentence_weights`, `[batch, sequences]`.
            model_outputs: `mlm_logits` of the labels' shape and the vocabulary, and
                `next_sentence` `[batch, 2]` or `[batch, sequences, 2]`.
            metrics: what `build_metrics` gave; their means of the losses, over predictions and over
                examples, are updated.
            aux_losses: further losses, scalars.
            totals: if this is a part of a larger batch, that one's `total_weight` of each objective, by its name: the
                losses of all parts then add up to the larger batch's.
            scored: what `score_all` returned for the batch; computed here by default.

        Returns:
            A float32 scalar.
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
        """Makes the metrics, under tensorflow/models' names.

        Within a `tf.function` they are made once: it is traced anew for batches of other lengths, and its
        metrics must be the same in every trace, and outlive it.
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
        """Names of the metrics that a batch has no labels for."""
        return {
            name
            for objective in self.objectives
            if not inputs.keys() >= set(objective.labels)
            for name in (objective.loss_name, objective.accuracy_name)
        }

    def process_metrics(self, metrics: Metrics, labels: Mapping[str, Any], model_outputs: Mapping[str, Any]) -> None:
        """Updates the accuracies from a batch."""
        by_name = _by_name(metrics)
        for objective in self.objectives:
            if objective.accuracy_name in by_name:
                found = objective.predictions(labels, model_outputs)
                if found is not None:
                    by_name[objective.accuracy_name].update_state(found.labels, found.logits, found.weights)

    @_after_its_batch
    def train_step(self, inputs: Mapping[str, Any], model: Any, optimizer: Any, metrics: Metrics) -> dict[str, Any]:
        """Forward, backward, and one step of the optimiser.

        An optimiser that scales the loss, as Keras's `LossScaleOptimizer` does for float16, is asked to. In `fit` the
        loss is divided by the number of replicas, as Keras does it; else if the task's `scale_loss` says so.

        Returns:
            The batch's loss, under "loss".
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
        """Forward alone.

        Returns:
            The batch's loss, under "loss".
        """
        labels, outputs = self.forward(inputs, model, training=False)
        loss = self.build_losses(labels, outputs, metrics, aux_losses=model.losses)
        self.process_metrics(metrics, labels, outputs)
        return {self.loss: loss}

    def inference_step(self, inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
        """The model's outputs without dropout."""
        return model(inputs, training=False)

    def forward(
        self, inputs: Mapping[str, Any], model: Any, *, training: bool, static_shapes: bool = False
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """Labels and outputs, with masked-LM logits of the real predictions alone.

        The vocabulary's logits are the dearest part of a small model, and padding among the
        predictions has no part in the loss. Models that cannot score single positions score it all the
        same, and so does everything with `static_shapes`, which XLA needs.

        Returns:
            `(labels, outputs)`, fit for `build_losses` and `process_metrics`.
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
