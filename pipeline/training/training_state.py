"""Everything that a run must remember to go on as if it had never stopped, and its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline import files


class TrainingState:
    """The variables of a run, and the checkpoints that hold them.

    A checkpoint holds the weights by their paths, the dropout's random states, the optimiser, the
    metrics since the last summary, and the counters. The data's position follows from the step:
    order and batches are functions of the seed alone. A checkpoint is complete or absent: TensorFlow
    names the newest one in a file that it writes last.

    Args:
        directory: where checkpoints go.
        model: the model.
        optimizer: its optimiser, built.
        metrics: the training metrics.
        max_to_keep: checkpoints to keep, beside the best.
    """

    def __init__(
        self,
        directory: str,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        metrics: Sequence[keras.metrics.Metric],
        *,
        max_to_keep: int,
    ) -> None:
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.tokens = tf.Variable(0, dtype=tf.int64, trainable=False)
        # Wall time of training steps and the tokens in it; steps that compile are left out of both.
        self.timed_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.timed_tokens = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_loss = tf.Variable(float("inf"), dtype=tf.float64, trainable=False)
        self.best_step = tf.Variable(0, dtype=tf.int64, trainable=False)

        weights = _by_path(model.weights)
        of_weights = {id(variable) for variable in model.weights}
        # Keras numbers the paths of random states through the process: their order names them here.
        random_states = [v for v in model.variables if id(v) not in of_weights]
        checkpoint = tf.train.Checkpoint(
            model=weights,
            random={f"{i}": v.value for i, v in enumerate(random_states)},
            optimizer=_by_path(optimizer.variables),
            metrics=_by_path([v for metric in metrics for v in metric.variables]),
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
        """
        newest = self._manager.latest_checkpoint
        if newest:
            self._manager.checkpoint.restore(newest).assert_existing_objects_matched()
        return int(self.step)

    def save(self) -> None:
        """Writes a checkpoint of the present step."""
        self._manager.save(checkpoint_number=int(self.step))

    def note_validation(self, loss: float) -> None:
        """Keeps the present weights as the best, if no evaluation before gave a lower loss."""
        if loss < float(self.best_loss):
            self.best_loss.assign(loss)
            self.best_step.assign(self.step)
            self._best.save(checkpoint_number=int(self.step))

    def restore_best(self) -> None:
        """Restores the weights of the lowest validation loss, if there was a validation."""
        if self._best.latest_checkpoint:
            restored = self._best.checkpoint.restore(self._best.latest_checkpoint)
            restored.assert_existing_objects_matched()

    def tokens_per_second(self) -> float:
        """Real tokens trained on in a second, over the whole run; 0 before anything was timed."""
        seconds = float(self.timed_seconds)
        return float(self.timed_tokens) / seconds if seconds else 0.0


def _by_path(variables: Sequence[Any]) -> dict[str, tf.Variable]:
    return {variable.path: variable.value for variable in variables}
