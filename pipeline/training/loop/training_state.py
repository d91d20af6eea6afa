"""The state that a run needs to continue exactly, and its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline import files
from pipeline.errors import OutputError
from pipeline.training.finite import largest_size, not_finite
from pipeline.training.loop.checkpoints import Checkpoints
from pipeline.training.objectives.base import Objective, means
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.loss_scaling import LossScale

# Groups that a checkpoint may lack: the sums since the last summary. Those of new objectives start at zero.
_OPTIONAL = ("sums",)


class TrainingState:
    """The variables of a run, and the checkpoints that hold them.

    A checkpoint holds the weights by their paths, the optimiser, the sums since the last summary,
    the loss scale and the counters. The data's position and the dropout follow from the step: both
    are functions of the seed and it alone.

    Args:
        directory: where checkpoints go.
        model: the model.
        optimizer: its optimiser, built.
        loss_scale: the loss's scale.
        objectives: what the model is trained by.
        clock: how far the training has come.
        max_to_keep: checkpoints to keep, beside the best.
        writes: whether this process writes them; of a cluster, one does.
    """

    def __init__(
        self,
        directory: str,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss_scale: LossScale,
        objectives: Sequence[Objective],
        clock: Clock,
        *,
        max_to_keep: int,
        writes: bool = True,
    ) -> None:
        self.loss_scale = loss_scale
        self._writes = writes
        self.step, self.tokens, self.timed_seconds = clock
        # The tokens in that time: steps that compile are left out of both.
        self.timed_tokens = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_loss = tf.Variable(float("inf"), dtype=tf.float64, trainable=False)
        self.best_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._objectives = objectives
        self._sums = {
            name: tf.Variable(0.0, dtype=tf.float64, trainable=False)
            for objective in objectives
            for name in objective.sum_names
        }

        self._saved_step: int | None = None
        self._weights, self._optimizer_variables = model.weights, optimizer.variables
        weights = _by_path(model.weights)
        groups = {
            "model": weights,
            "optimizer": _by_path(optimizer.variables),
            "sums": self._sums,
            "loss_scale": loss_scale.variables,
            "counters": {
                "step": self.step,
                "tokens": self.tokens,
                "timed_seconds": self.timed_seconds,
                "timed_tokens": self.timed_tokens,
                "best_loss": self.best_loss,
                "best_step": self.best_step,
            },
        }
        self._max_to_keep = max_to_keep
        self._checkpoints = Checkpoints(
            directory, groups, [*self._weights, *self._optimizer_variables], optional=_OPTIONAL
        )
        self._best = Checkpoints(files.join(directory, "best"), {"model": weights}, self._weights)

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one.

        Returns:
            The step that was reached; 0 without checkpoint.

        Raises:
            OutputError: if it is damaged, or of another model or optimiser.
        """
        self._checkpoints.restore_newest()
        self._saved_step = int(self.step) or None
        return int(self.step)

    def save(self) -> None:
        """Writes a checkpoint of the present step, if it is not there already.

        Raises:
            OutputError: if it cannot be written.
        """
        step = int(self.step)
        if self._writes:
            self._checkpoints.save(step)
            # Those of later steps are damaged, and made again.
            self._checkpoints.keep(
                [found for found in self._checkpoints.steps() if found <= step][-self._max_to_keep :]
            )
            # Only now: the checkpoint before may name the best before.
            self._best.keep([int(self.best_step)])
        self._saved_step = step

    def note_validation(self, loss: float) -> None:
        """Keeps the present weights as the best, if no evaluation before gave a lower loss.

        Raises:
            OutputError: if they cannot be written.
        """
        if loss < float(self.best_loss):
            self.best_loss.assign(loss)
            self.best_step.assign(self.step)
            if self._writes:
                self._best.save(int(self.step))

    def restore_best(self) -> None:
        """Restores the weights of the lowest validation loss, if there was a validation.

        Raises:
            OutputError: if they are damaged or lost.
        """
        step = int(self.best_step)
        if step and not (step in self._best.steps() and self._best.restore([step])):
            raise OutputError(f"{self._best.directory} must hold the best weights, of step {step:,}", received="none")

    @property
    def saved_step(self) -> int | None:
        """Step of the checkpoint that was restored or written last; None before there is one."""
        return self._saved_step

    def not_finite(self) -> list[str]:
        """Paths of the weights and of the optimiser's variables that hold NaN or infinite numbers."""
        return not_finite([*self._weights, *self._optimizer_variables])

    def largest_weight(self) -> float:
        """The largest absolute value of a weight."""
        return largest_size(self._weights)

    def add(self, sums: Mapping[str, float]) -> None:
        """Adds a step's sums to those since the last summary."""
        for name, value in sums.items():
            self._sums[name].assign_add(value)

    def take_means(self) -> dict[str, float]:
        """The means since the last summary, and begins anew."""
        sums = {name: float(variable) for name, variable in self._sums.items()}
        for variable in self._sums.values():
            variable.assign(0.0)
        return means(self._objectives, sums)

    def tokens_per_second(self) -> float:
        """Real tokens trained on in a second, over the whole run; 0 before anything was timed."""
        seconds = float(self.timed_seconds)
        return float(self.timed_tokens) / seconds if seconds else 0.0


def _by_path(variables: Sequence[Any]) -> dict[str, tf.Variable]:
    return {variable.path: variable.value for variable in variables}
