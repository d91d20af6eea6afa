"""The state that a run needs to continue exactly, and its checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline import files
from pipeline.errors import OutputError
from pipeline.training.finite import largest_size, not_finite, short_list
from pipeline.training.loop.checkpoints import Checkpoints
from pipeline.training.loop.heads_first import HeadsFirst
from pipeline.training.objectives.base import Objective, means
from pipeline.training.optimization.averaging import WeightAverage
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.loss_scaling import LossScale

# Groups that a checkpoint may lack: the sums since the last summary, where those of new objectives start at zero; and
# which weights are trained first.
_OPTIONAL = ("sums", "heads_first")


class TrainingState:
    """The variables of a run, and the checkpoints that hold them.

    A checkpoint holds the weights by their paths, their averages if such are kept, the optimiser, the sums since the
    last summary, the loss scale, which weights are trained first, and the counters. The data's position and the dropout
    follow from the step: both are functions of the seed and it alone.

    Args:
        directory: where checkpoints go.
        model: the model.
        optimizer: its optimiser, built.
        loss_scale: the loss's scale.
        objectives: what the model is trained by.
        clock: how far the training has come.
        average: the average of its weights, if one is kept.
        heads_first: which weights are trained first; by default none.
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
        average: WeightAverage | None = None,
        heads_first: HeadsFirst | None = None,
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
        self._average = average
        self._sums = {
            name: tf.Variable(0.0, dtype=tf.float64, trainable=False)
            for objective in objectives
            for name in objective.sum_names
        }

        self._saved_step: int | None = None
        self._weights, self._optimizer_variables = model.weights, optimizer.variables
        weights = _by_path(model.weights)
        averages = average.variables if average is not None else {}
        groups = {
            "model": weights,
            "optimizer": _by_path(optimizer.variables),
            "sums": self._sums,
            "loss_scale": loss_scale.variables,
            "heads_first": (heads_first or HeadsFirst(0)).variables,
            "counters": {
                "step": self.step,
                "tokens": self.tokens,
                "timed_seconds": self.timed_seconds,
                "timed_tokens": self.timed_tokens,
                "best_loss": self.best_loss,
                "best_step": self.best_step,
            },
        }
        if average is not None:
            # Not optional: a run keeps averages from its start or never.
            groups["averages"] = {path: variable.value for path, variable in averages.items()}
        self._groups = groups
        self._max_to_keep = max_to_keep
        self._numbers = [*self._weights, *self._optimizer_variables, *averages.values()]
        self._checkpoints = Checkpoints(directory, groups, self._numbers, optional=_OPTIONAL)
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

    def restore_from(self, directory: str, step: int) -> None:
        """Goes on from a checkpoint of another run, and saves it as one of this run.

        The best evaluation is forgotten: its weights are the other run's.

        Args:
            directory: where the other run's checkpoints are.
            step: which of them.

        Raises:
            OutputError: if it is gone or damaged, of another model or optimiser, or cannot be written here.
        """
        other = Checkpoints(directory, self._groups, self._numbers, optional=_OPTIONAL)
        if not (step in other.steps() and other.restore([step])):
            raise OutputError(
                f"{directory} must contain the checkpoint of step {step:,}",
                received=short_list([f"{found:,}" for found in reversed(other.steps())]) or "none",
                do="Choose an existing checkpoint",
            )
        self.best_loss.assign(float("inf"))
        self.best_step.assign(0)
        self.save()

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

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Lets the model have the averages of its weights for the length of a `with` block, if such are kept."""
        return contextlib.nullcontext() if self._average is None else self._average.in_place_of_weights()

    def use_average(self) -> None:
        """Sets the weights to their averages, if such are kept: they are then what to evaluate, not to train."""
        if self._average is not None:
            self._average.use()

    def note_validation(self, loss: float) -> None:
        """Keeps the model's weights as the best, if no evaluation before gave a lower loss; see `averaged`.

        Raises:
            OutputError: if they cannot be written.
        """
        if loss < float(self.best_loss):
            self.best_loss.assign(loss)
            self.best_step.assign(self.step)
            if self._writes:
                self._best.save(int(self.step))

    def restore_best(self) -> None:
        """Restores the weights of the lowest validation loss; without a validation, uses the average.

        Raises:
            OutputError: if they are damaged or lost.
        """
        step = int(self.best_step)
        if not step:
            self.use_average()
        elif not (step in self._best.steps() and self._best.restore([step])):
            raise OutputError(
                f"{self._best.directory} must contain the best weights, of step {step:,}", received="none"
            )

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

    def count(self, numbers: Mapping[str, Any], counts: Any) -> None:
        """Counts a step, in a graph: its tokens, and its sums to those since the last summary.

        Args:
            numbers: what `TrainStep.compute` returned.
            counts: boolean scalar; if it is false, nothing changes.
        """
        self.step.assign_add(tf.cast(counts, tf.int64))
        self.tokens.assign_add(tf.where(counts, tf.cast(numbers["tokens"], tf.int64), 0))
        for name, variable in self._sums.items():
            if name in numbers:
                variable.assign_add(tf.where(counts, tf.cast(numbers[name], tf.float64), 0.0))

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
