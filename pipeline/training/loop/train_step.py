"""One step of the optimiser, on any number of devices and in any number of parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pipeline.training.data.loader import extents, trim
from pipeline.training.distribution import is_one_device
from pipeline.training.finite import all_finite
from pipeline.training.modeling.bert_pretrainer import check_inputs
from pipeline.training.modeling.dropout import dropout_seed
from pipeline.training.objectives.base import batch_sums, score_all
from pipeline.training.optimization.averaging import WeightAverage

Batch = Mapping[str, Any]
_SUM = tf.distribute.ReduceOp.SUM


@dataclass(frozen=True)
class StepResult:
    """What a step came to, over all devices.

    Attributes:
        loss: the batch's loss.
        gradient_norm: global norm of its gradient, before clipping.
        applied: whether the weights were updated: not if either is NaN or infinite.
        finite: whether the weights and the optimiser's variables are finite numbers after the update.
        stop: whether any process asked to stop.
        tokens: real tokens of the batch.
        sums: what `batch_sums` gives.
    """

    loss: float
    gradient_norm: float
    applied: bool
    finite: bool
    stop: bool
    tokens: int
    sums: dict[str, float]

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> StepResult:
        """What a step's graph returned."""
        values = {name: value.numpy() for name, value in numbers.items()}
        return cls(
            loss=float(values.pop("loss")),
            gradient_norm=float(values.pop("gradient_norm")),
            applied=bool(values.pop("applied")),
            finite=bool(values.pop("finite")),
            stop=bool(values.pop("stop") > 0),
            tokens=int(values.pop("tokens")),
            sums={name: float(value) for name, value in values.items()},
        )


class TrainStep:
    """Computes gradients of a global batch and applies them.

    The loss is the mean over the global batch's predictions, and over its examples, however many
    devices and parts share it, so that these change nothing but the order of sums. tensorflow/models
    takes the mean of each replica by itself.

    A gradient that is not finite is never applied: the weights stay as they were. What an update made of them is
    looked at in the same step.

    Args:
        task: a `MaskedLMTask`.
        model: its model, made in the strategy's scope.
        optimizer: its optimiser, built, in that scope too, without clipping of its own.
        element_spec: of the batches.
        strategy: of `tf.distribute`; by default none.
        seed: seed of the dropout.
        parts: parts that each device computes its share in, one after another.
        clip_norm: largest global norm of the gradient; 0 does not clip.
        average: takes in the weights after each update, where an average of them is kept.
        frozen: weights that are not trained; they take no part in the gradient's norm either.
        enable_xla: whether to compile with XLA.
        static_shapes: whether to compute padding rather than have shapes that depend on values.

    Raises:
        ConfigError: if the rows are packed, and the model's encoder does not keep their sequences apart.
    """

    def __init__(
        self,
        task: Any,
        model: Any,
        optimizer: Any,
        element_spec: Any,
        *,
        strategy: Any = None,
        seed: int = 0,
        parts: int = 1,
        clip_norm: float = 0.0,
        average: WeightAverage | None = None,
        frozen: Sequence[Any] = (),
        enable_xla: bool = False,
        static_shapes: bool = False,
    ) -> None:
        check_inputs(model.encoder_network, element_spec)
        self._task, self._model, self._optimizer = task, model, optimizer
        self._strategy = strategy or tf.distribute.get_strategy()
        self._seed, self._parts, self._clip_norm = seed, parts, clip_norm
        self._average = average
        left_out = {id(variable) for variable in frozen}
        self._variables = [variable for variable in model.trainable_variables if id(variable) not in left_out]
        self._static_shapes = enable_xla or static_shapes
        # On one device the whole step is compiled; on several the passes through the model: sums over them cannot be.
        self._is_compiled = enable_xla and is_one_device(self._strategy)
        compiles_passes = enable_xla and not self._is_compiled
        self._local = tf.function(self._local_gradients, jit_compile=True) if compiles_passes else self._local_gradients
        scalars = [tf.TensorSpec([], dtype) for dtype in (tf.int64, tf.float32, tf.float32, tf.bool, tf.float32)]
        # Not inlined into the loop over parts: TensorFlow's graph optimiser rewrites sums of gradients in a large loop
        # into temporary variables that it then makes twice.
        self._pass = tf.function(self._gradients, reduce_retracing=True, experimental_attributes={"_noinline": True})
        # Nor is the step into a loop of steps: it is then computed as it is alone.
        self._step = tf.function(
            self._global_step,
            input_signature=[element_spec, *scalars],
            jit_compile=self._is_compiled or None,
            experimental_attributes={"_noinline": True},
        )

    def __call__(self, batch: Batch, step: int, *, loss_scale: float = 1.0, stop: bool = False) -> StepResult:
        """Makes a step.

        Args:
            batch: a batch of the strategy's.
            step: steps made before; decides the dropout.
            loss_scale: factor of the loss while gradients are computed.
            stop: whether this process wants to stop; all learn of it.
        """
        scalars = (tf.constant(step, tf.int64), tf.constant(loss_scale, tf.float32), tf.constant(stop, tf.float32))
        return StepResult.of(self.compute(batch, *scalars, tf.constant(True)))

    def compute(self, batch: Batch, step: Any, loss_scale: Any, stop: Any, active: Any) -> dict[str, Any]:
        """As a call, of tensors; in a graph, too.

        Args:
            batch: as of a call.
            step: int64 scalar.
            loss_scale: float32 scalar.
            stop: float32 scalar, above 0 if this process wants to stop.
            active: boolean scalar; if it is false, no weight is updated.

        Returns:
            Scalars, for `StepResult.of`.
        """
        # The rate comes from outside: TensorFlow's graph optimiser would mix the schedule's constants with those of the
        # update, and two schedules of the same rate would give other roundings.
        rate = tf.cast(self._optimizer.learning_rate, tf.float32)
        return dict(self._step(batch, step, loss_scale, stop, active, rate))

    def no_numbers(self) -> dict[str, Any]:
        """Zeros in the form of what `compute` returns."""
        returned = self._step.get_concrete_function().structured_outputs
        return {name: tf.zeros(spec.shape, spec.dtype) for name, spec in returned.items()}

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimizer.learning_rate)

    def _global_step(
        self, batch: Batch, step: Any, loss_scale: Any, stop: Any, active: Any, rate: Any
    ) -> dict[str, Any]:
        with self._strategy.scope():
            gradients, by_replica = self._strategy.run(self._replica_step, args=(batch, step, loss_scale, stop))
            # The same on all of them.
            numbers = {name: self._strategy.experimental_local_results(v)[0] for name, v in by_replica.items()}
            finite = self._apply_if(numbers["applied"] & active, gradients, rate)
        return {**numbers, "finite": finite}

    def _replica_step(self, batch: Batch, step: Any, loss_scale: Any, stop: Any) -> tuple[list[Any], dict[str, Any]]:
        """The whole batch's gradients, from this replica's share of it."""
        context = tf.distribute.get_replica_context()
        examples = tf.cast(tf.shape(batch["input_word_ids"])[0], tf.float32)
        tokens = tf.cast(tf.reduce_sum(batch["input_mask"]), tf.float32)
        stop = tf.identity(stop)  # An argument has no device, and what is added up must have one.
        objectives = self._task.objectives
        weights = [objective.total_weight(batch) for objective in objectives]
        *weights, examples, tokens, stop = context.all_reduce(_SUM, [*weights, examples, tokens, stop])
        totals = {objective.name: weight for objective, weight in zip(objectives, weights, strict=True)}
        replicas = context.num_replicas_in_sync
        first_pass = (step * replicas + tf.cast(context.replica_id_in_sync_group, tf.int64)) * self._parts
        gradients, numbers = self._local(batch, totals, examples, first_pass, loss_scale)
        names = list(numbers)
        reduced = context.all_reduce(_SUM, [*gradients, *numbers.values()])
        gradients = [gradient / loss_scale for gradient in reduced[: -len(names)]]
        numbers = dict(zip(names, reduced[-len(names) :], strict=True))

        norm = tf.linalg.global_norm(gradients)
        if self._clip_norm:
            factor = self._clip_norm / tf.maximum(norm, self._clip_norm)
            gradients = [gradient * factor for gradient in gradients]
        applied = tf.math.is_finite(norm) & tf.math.is_finite(numbers["loss"])
        return gradients, {**numbers, "gradient_norm": norm, "applied": applied, "tokens": tokens, "stop": stop}

    def _local_gradients(
        self, batch: Batch, totals: Mapping[str, Any], examples: Any, first_pass: Any, loss_scale: Any
    ) -> tuple[list[Any], dict[str, Any]]:
        """This replica's part of the gradients, of the loss and of the sums, a part of the batch at a time."""
        if self._parts == 1:
            return self._gradients(batch, totals, examples, first_pass, loss_scale)
        parts = self._split(batch)
        result = self._pass(self._part(parts, 0), totals, examples, first_pass, loss_scale)

        def add(index: Any, result: Any) -> tuple[Any, Any]:
            number = first_pass + tf.cast(index, tf.int64)
            more = self._pass(self._part(parts, index), totals, examples, number, loss_scale)
            return index + 1, tf.nest.map_structure(tf.add, result, more)

        _, result = tf.while_loop(lambda i, _: i < self._parts, add, (tf.constant(1), result), parallel_iterations=1)
        return result

    def _split(self, batch: Batch) -> dict[str, Any]:
        """The batch's examples in parts of similar lengths, `[parts, batch / parts, length]`."""
        order = tf.argsort(extents(batch["input_mask"]), stable=True)
        return {
            name: tf.reshape(tf.gather(value, order), tf.concat([[self._parts, -1], tf.shape(value)[1:]], 0))
            for name, value in batch.items()
        }

    def _part(self, parts: Mapping[str, Any], index: Any) -> dict[str, Any]:
        """One of them, cut after its longest sequence's last token; packed rows are full."""
        part = {name: tf.gather(value, index) for name, value in parts.items()}
        return part if self._static_shapes or "input_sequence_ids" in part else trim(part)

    def _gradients(
        self, batch: Batch, totals: Mapping[str, Any], examples: Any, number: Any, loss_scale: Any
    ) -> tuple[list[Any], dict[str, Any]]:
        """One pass forward and back."""
        task, model = self._task, self._model
        with tf.GradientTape() as tape, dropout_seed(self._seed, number):
            labels, outputs = task.forward(batch, model, training=True, static_shapes=self._static_shapes)
            share = tf.cast(tf.shape(batch["input_mask"])[0], tf.float32) / examples
            aux_losses = [share * loss for loss in model.losses]
            scored = score_all(task.objectives, labels, outputs)
            loss = task.build_losses(labels, outputs, None, aux_losses=aux_losses, totals=totals, scored=scored)
            scaled_loss = loss * loss_scale
        gradients = tape.gradient(scaled_loss, [variable.value for variable in self._variables])
        # The encoder's own pooler takes no part in pre-training: heads pool for themselves.
        self._trained = [v for v, g in zip(self._variables, gradients, strict=True) if g is not None]
        return [tf.convert_to_tensor(g) for g in gradients if g is not None], {
            "loss": loss,
            **batch_sums(task.objectives, scored),
        }

    def _apply_if(self, wanted: Any, gradients: list[Any], rate: Any) -> Any:
        """As `_apply`, if it is wanted; else changes nothing, and returns True."""
        if not self._is_compiled:
            return tf.cond(wanted, lambda: self._apply(gradients, rate), lambda: tf.constant(True))
        # For a branch the device would wait until the host has read which; a choice XLA fuses with the update.
        averages = self._average.variables.values() if self._average is not None else ()
        variables = [*self._trained, *self._optimizer.variables, *averages]
        before = [tf.convert_to_tensor(variable.value) for variable in variables]
        finite = self._apply(gradients, rate)
        for variable, value in zip(variables, before, strict=True):
            variable.value.assign(tf.where(wanted, variable.value, value))
        return finite | ~wanted

    def _apply(self, gradients: list[Any], rate: Any) -> Any:
        """Updates the weights; returns whether all that it changed is finite, a boolean scalar."""
        # `Optimizer.apply` would add the gradients up over replicas once more.
        for variable, gradient in zip(self._trained, gradients, strict=True):
            self._strategy.extended.update(
                variable.value,
                lambda v, g, r: self._optimizer.update_step(g, v, r),
                args=(gradient, self._optimizer.rate_of(variable, rate)),
                group=False,
            )
        self._optimizer.iterations.assign_add(1)
        if self._average is not None:
            self._average.update(self._strategy, self._optimizer.iterations)
        return all_finite([*self._trained, *self._optimizer.variables])
