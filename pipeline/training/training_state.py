"""Everything that a run must remember to go on as if it had never stopped, and its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline import files
from pipeline.errors import OutputError
from pipeline.training.batch_sums import SUM_NAMES, means
from pipeline.training.finite import largest_size, not_finite, short_list
from pipeline.training.loss_scaling import LossScale


class TrainingState:
    """The variables of a run, and the checkpoints that hold them.

    A checkpoint holds the weights by their paths, the optimiser, the sums since the last summary,
    the loss scale and the counters. The data's position and the dropout follow from the step: both
    are functions of the seed and it alone. A checkpoint is complete or absent: TensorFlow names the
    newest one in a file that it writes last.

    Args:
        directory: where checkpoints go.
        model: the model.
        optimizer: its optimiser, built.
        loss_scale: the loss's scale.
        max_to_keep: checkpoints to keep, beside the best.
        writes: whether this process writes them; of a cluster, one does.
    """

    def __init__(
        self,
        directory: str,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss_scale: LossScale,
        *,
        max_to_keep: int,
        writes: bool = True,
    ) -> None:
        self.loss_scale = loss_scale
        self._writes = writes
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.tokens = tf.Variable(0, dtype=tf.int64, trainable=False)
        # Wall time of training steps and the tokens in it; steps that compile are left out of both.
        self.timed_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.timed_tokens = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_loss = tf.Variable(float("inf"), dtype=tf.float64, trainable=False)
        self.best_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._sums = {name: tf.Variable(0.0, dtype=tf.float64, trainable=False) for name in SUM_NAMES}

        self._saved_step: int | None = None
        self._weights, self._optimizer_variables = model.weights, optimizer.variables
        weights = _by_path(model.weights)
        checkpoint = tf.train.Checkpoint(
            model=weights,
            optimizer=_by_path(optimizer.variables),
            sums=self._sums,
            loss_scale=loss_scale.variables,
            counters={
                "step": self.step,
                "tokens": self.tokens,
                "timed_seconds": self.timed_seconds,
                "timed_tokens": self.timed_tokens,
                "best_loss": self.best_loss,
                "best_step": self.best_step,
            },
        )
        self._manager = tf.train.CheckpointManager(
            checkpoint, directory, max_to_keep=max_to_keep, checkpoint_name="step"
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=weights),
            files.join(directory, "best"),
            max_to_keep=1,
            checkpoint_name="step",
        )

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one.

        Returns:
            The step that was reached; 0 without checkpoint.

        Raises:
            OutputError: if it is damaged, or of another model or optimiser.
        """
        _restore(self._manager, [*self._weights, *self._optimizer_variables])
        self._saved_step = int(self.step) or None
        return int(self.step)

    def save(self) -> None:
        """Writes a checkpoint of the present step, if it is not there already.

        Raises:
            OutputError: if it cannot be written.
        """
        if self._writes and self._saved_step != int(self.step):
            _save(self._manager, int(self.step))
        self._saved_step = int(self.step)

    def note_validation(self, loss: float) -> None:
        """Keeps the present weights as the best, if no evaluation before gave a lower loss.

        Raises:
            OutputError: if they cannot be written.
        """
        if loss < float(self.best_loss):
            self.best_loss.assign(loss)
            self.best_step.assign(self.step)
            if self._writes:
                _save(self._best, int(self.step))

    def restore_best(self) -> None:
        """Restores the weights of the lowest validation loss, if there was a validation.

        Raises:
            OutputError: if they are damaged.
        """
        _restore(self._best, self._weights)

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
        return means(sums)

    def tokens_per_second(self) -> float:
        """Real tokens trained on in a second, over the whole run; 0 before anything was timed."""
        seconds = float(self.timed_seconds)
        return float(self.timed_tokens) / seconds if seconds else 0.0


def _by_path(variables: Sequence[Any]) -> dict[str, tf.Variable]:
    return {variable.path: variable.value for variable in variables}


def _save(manager: tf.train.CheckpointManager, step: int) -> None:
    try:
        manager.save(checkpoint_number=step)
    except tf.errors.OpError as error:
        raise OutputError(
            f"The checkpoint of step {step:,} cannot be written",
            received=_first_line(error),
            do=f"Those before it in {manager.directory} are kept. Check the space and the permissions, then run again",
        ) from error


def _restore(manager: tf.train.CheckpointManager, variables: Sequence[Any]) -> None:
    """Restores the newest checkpoint that is whole and in which `variables` are finite numbers."""
    damage: Exception | None = None
    for path in reversed(manager.checkpoints):
        try:
            manager.checkpoint.restore(path).assert_existing_objects_matched()
            if names := not_finite(variables):
                raise tf.errors.DataLossError(None, None, f"NaN or infinite numbers in {short_list(names)}")
            return
        except (tf.errors.DataLossError, tf.errors.NotFoundError, IndexError) as error:  # Or too short.
            print(f"{path}: damaged ({_first_line(error)}); taking the one before")
            damage = error
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise OutputError(
                f"The checkpoint {path} must hold this configuration's model and optimiser",
                received=_first_line(error),
                do="Go back to the configuration that wrote it, or choose another directory for the run",
            ) from error
    if damage:
        raise OutputError(
            f"{manager.directory} must hold a whole checkpoint",
            received=_first_line(damage),
            do="Remove that directory to begin again, or choose another directory for the run",
        ) from damage


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
