"""Several steps in one call of TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pipeline.training.configs import TrainerConfig
from pipeline.training.dataset_errors import naming_records
from pipeline.training.loop.train_step import StepResult, TrainStep
from pipeline.training.loop.training_state import TrainingState

_SECONDS = 1.0  # That a loop takes, so that a signal is answered soon.
_MOST = 100  # Then the host's part is small already.


@dataclass(frozen=True)
class LoopResult:
    """What a loop came to.

    Attributes:
        made: steps that count; fewer than wanted if the one after them must not.
        tokens: real tokens of these.
        last: the last one, or the one that must not count.
    """

    made: int
    tokens: int
    last: StepResult


class StepLoop:
    """Makes steps one after another without the host: it learns of all of them in the end.

    Step, tokens, sums and loss scale are counted on the device. After a step whose loss or gradient is NaN or infinite,
    or whose update made the weights so, the steps that are left compute but change nothing.

    Args:
        train_step: makes a step.
        state: counts it.
        batches: training batches, without end, from the state's position on.
    """

    def __init__(self, train_step: TrainStep, state: TrainingState, batches: Any) -> None:
        self._state = state
        self._batches, self._iterator = batches, iter(batches)
        self.go_on_with(train_step)

    def go_on_with(self, train_step: TrainStep) -> None:
        """Lets another one make the steps from here on."""
        self._train_step = train_step
        scalars = [tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)]
        self._steps = tf.function(self._make_steps, input_signature=scalars)

    def __call__(self, count: int, *, stop: bool = False) -> LoopResult:
        """Makes `count` steps.

        Args:
            count: how many, the same in all processes.
            stop: whether this process wants to stop; all learn of it.

        Raises:
            CorpusError: if a record cannot be read; it names the record.
        """
        with naming_records(self._batches):
            made, tokens, numbers = self._steps(tf.constant(count), tf.constant(stop, tf.float32))
            return LoopResult(int(made), int(tokens), StepResult.of(numbers))

    def _make_steps(self, count: Any, stop: Any) -> tuple[Any, Any, dict[str, Any]]:
        state = self._state

        def step(index: Any, going: Any, made: Any, tokens: Any, numbers: dict[str, Any]) -> tuple[Any, ...]:
            found = self._train_step.compute(next(self._iterator), state.step, state.loss_scale.tensor, stop, going)
            numbers = {name: tf.where(going, value, numbers[name]) for name, value in found.items()}
            going &= numbers["finite"] & tf.math.is_finite(numbers["loss"])
            going &= state.loss_scale.update(numbers["applied"], counts=going)
            state.count(numbers, going)
            tokens += tf.where(going, tf.cast(numbers["tokens"], tf.int64), 0)
            return index + 1, going, made + tf.cast(going, tf.int32), tokens, numbers

        # The condition is known to the host: that of `going` would be waited for.
        start = (tf.constant(0), tf.constant(True), tf.constant(0), tf.constant(0, tf.int64))
        _, _, made, tokens, numbers = tf.while_loop(
            lambda index, *_: index < count, step, (*start, self._train_step.no_numbers()), parallel_iterations=1
        )
        return made, tokens, numbers


class LoopLength:
    """How many steps the next loop has.

    It ends where a summary, an evaluation or a checkpoint is due, and with the steps that train heads alone. Nothing
    that is computed depends on it.

    Args:
        config: steps and intervals.
        alone: whether no other process makes the same steps; several must have loops of the same lengths.
    """

    def __init__(self, config: TrainerConfig, *, alone: bool) -> None:
        self._config, self._alone = config, alone
        self._wanted = config.steps_per_loop or 1

    def after(self, step: int) -> int:
        """The length of the loop after `step`."""
        config = self._config
        intervals = (config.summary_interval, config.validation_interval, config.checkpoint_interval)
        left = min(config.train_steps - step, *(interval - step % interval for interval in intervals))
        if step < config.heads_only_steps:
            left = min(left, config.heads_only_steps - step)
        return min(self._wanted, left)

    def note(self, steps: int, seconds: float) -> None:
        """Takes in how long a loop took; the first, which compiles, is not worth noting."""
        if self._config.steps_per_loop is None and self._alone:
            self._wanted = max(1, min(int(_SECONDS * steps / seconds), _MOST))
