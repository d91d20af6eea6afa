"""The training loop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from pipeline.errors import TrainingError
from pipeline.training.configs import TrainerConfig
from pipeline.training.distribution import LOST_MACHINE
from pipeline.training.finite import short_list
from pipeline.training.loop.progress import Progress
from pipeline.training.loop.step_loop import LoopLength, StepLoop
from pipeline.training.loop.stopping import StopRequest
from pipeline.training.loop.train_step import StepResult, TrainStep
from pipeline.training.loop.training_state import TrainingState
from pipeline.training.loop.validation import Evaluation
from pipeline.training.objectives.registry import MASKED_LM

_GROWN = 1e4  # Those of a model that learns stay below 100.


@contextlib.contextmanager
def _named_failures() -> Iterator[None]:
    """Turns what TensorFlow raises when a machine of a cluster is lost, or the memory is full, into errors of ours."""
    try:
        yield
    except LOST_MACHINE as error:
        raise TrainingError(
            "Lost the connection to a machine of the cluster",
            received=" ".join(str(error.message).split())[:300],
            do="Start the same command on all machines again: they continue from the last checkpoint",
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            "Not enough memory for a step or an evaluation",
            received=" ".join(str(error.message).split())[-300:],
            do="Lower the global_batch_size of train_data or validation_data in another run, or raise"
            " trainer.accumulation_steps",
        ) from error


@_named_failures()
def train(
    train_step: TrainStep,
    config: TrainerConfig,
    state: TrainingState,
    batches: Any,
    validate: Callable[[], Evaluation] | None,
    progress: Progress,
    stop: StopRequest,
    *,
    heads_step: TrainStep | None = None,
    alone: bool = True,
    describe_batch: Callable[[int], str] = lambda step: f"batch {step:,}",
    describe_sources: Callable[[int], Mapping[str, Mapping[str, float]]] = lambda step: {},
    describe_stage: Callable[[int], Mapping[str, float]] = lambda step: {},
) -> bool:
    """Trains from the state's step to `config.train_steps`, or to where `config.early_stopping` ends it.

    On the way it notes the means over every `summary_interval` steps, evaluates the weights or their averages, keeps
    the best, and writes checkpoints.

    Args:
        train_step: makes a step.
        config: steps and intervals.
        state: the run's state, restored.
        batches: training batches, without end, from the state's position on.
        validate: evaluates the model; None where there is nothing to evaluate on.
        progress: shows and writes the progress.
        stop: asked with every loop whether to save and stop.
        heads_step: makes the first `config.heads_only_steps` steps, if it is given.
        alone: whether no other process makes the same steps.
        describe_batch: returns where the batch of a step (counted from 0) came from, for an error.
        describe_sources: returns what each source of a mixture gave before a step, for the log.
        describe_stage: returns the number of the stage of a step (counted from 0), and its batch size, for the log.

    Returns:
        Whether the run has ended; else it was asked to stop, and the state is saved.

    Raises:
        CorpusError: if a record cannot be read.
        TrainingError: if the loss or its gradient is NaN or infinite, if an update makes the weights so,
            or if a machine is lost. The last checkpoint stays as it is.
    """
    step = int(state.step)
    heads_steps = config.heads_only_steps if heads_step is not None else 0
    making = heads_step if heads_step is not None and step < heads_steps else train_step
    loop, length = StepLoop(making, state, batches), LoopLength(config, alone=alone)
    compiled = False
    # Early stopping goes by what the model is for; the loss as a whole may fall by the next sentences alone.
    counts = "loss" if config.early_stopping is None else MASKED_LM.loss_name
    ends = config.has_stopped_early(step, int(state.best_step))  # It was killed behind its last checkpoint.
    while step < config.train_steps and not ends:
        count = length.after(step)
        started = time.perf_counter()
        steps = loop(count, stop=bool(stop))
        seconds, result = time.perf_counter() - started, steps.last
        step += steps.made
        if steps.made < count:
            raise _failure(result, state, step, describe_batch)
        if compiled:
            state.timed_seconds.assign_add(seconds)
            state.timed_tokens.assign_add(steps.tokens)
            length.note(count, seconds)
        compiled = True
        if step == heads_steps:
            loop.go_on_with(train_step)
            compiled = False
        last = step == config.train_steps
        progress.advance(count)
        if step == heads_steps:
            progress.begin_anew(f"step {step:,}: from here on, everything is trained")
        if step % config.summary_interval == 0 or last:
            row = {
                **state.take_means(),
                "learning_rate": train_step.learning_rate(),
                # An overflow of float16, at which the step is left out and the loss's scale halved, has none.
                **({"gradient_norm": result.gradient_norm} if result.applied else {}),
                **({"loss_scale": state.loss_scale.value} if state.loss_scale.adapts else {}),
                **describe_stage(step - 1),
            }
            tokens_per_second = state.tokens_per_second()
            progress.note_training(
                step,
                row,
                tokens=int(state.tokens),
                tokens_per_second=tokens_per_second,
                sources=describe_sources(step),
            )
        if validate is not None and (step % config.validation_interval == 0 or last):
            with state.averaged():
                evaluation = validate()
                state.note_validation(evaluation.means[counts])
            progress.note_validation(step, evaluation)
            ends = config.has_stopped_early(step, int(state.best_step))
        # Several processes stop together, when all have learned of it.
        stops = result.stop or (alone and bool(stop))
        if step % config.checkpoint_interval == 0 or last or ends or stops:
            state.save()
        if stops and not (last or ends):
            return False
    return True


def _failure(
    result: StepResult, state: TrainingState, step: int, describe_batch: Callable[[int], str]
) -> TrainingError:
    """Why a step, counted from 0, must not count: what is NaN or infinite."""
    saved = state.saved_step
    kept = f"the checkpoint of step {saved:,} is kept" if saved else "there is no checkpoint yet"
    finite_loss = math.isfinite(result.loss)
    if not result.finite:
        return TrainingError(
            f"The update of step {step + 1:,} made weights or the optimiser's variables NaN or infinite",
            received=f"{short_list(state.not_finite())}; before, the loss was {result.loss:.4g} and its gradient's norm"
            f" {result.gradient_norm:.4g}",
            do=f"Nothing of this step was saved; {kept}. The optimiser's options are the likely cause: start another"
            " run with a lower learning_rate, a longer warm-up, or an epsilon above 0",
        )
    what = "loss" if not finite_loss else "gradient's norm"
    largest = state.largest_weight()
    scale = f", or a loss_scale below {state.loss_scale.value:g}" if finite_loss and state.loss_scale.value > 1 else ""
    return TrainingError(
        f"The {what} of step {step + 1:,} is {result.loss if not finite_loss else result.gradient_norm}",
        received=describe_batch(step),
        do=f"This step did not change the weights, and {kept}. "
        + (
            f"The weights had already grown to {largest:.2g} in earlier steps:"
            if largest > _GROWN
            else "Check these shards with the validate command; if they are right,"
        )
        + f" start another run with a lower learning rate or a longer warm-up{scale}",
    )
