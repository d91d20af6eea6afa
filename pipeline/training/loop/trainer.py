"""Training the model of an experiment, from wherever its run stands."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from pipeline.errors import OutputError
from pipeline.training.configs import DataConfig, ExperimentConfig
from pipeline.training.data.loader import build_dataset, readable
from pipeline.training.distribution import check_agreement, distribute
from pipeline.training.loop.progress import Progress
from pipeline.training.loop.stopping import StopRequest
from pipeline.training.loop.train_loop import train
from pipeline.training.loop.train_step import TrainStep
from pipeline.training.loop.training_state import TrainingState
from pipeline.training.loop.validation import build_evaluator
from pipeline.training.optimization.build import build_optimizer
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.loss_scaling import LossScale
from pipeline.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        model: the best model by validation loss, else the last, computing in float32 on one device.
        state: counters and records of the run.
        stopped: the request that stopped it; None if it reached its end.
    """

    model: Any
    state: TrainingState
    stopped: StopRequest | None


def train_experiment(
    config: ExperimentConfig,
    task: Any,
    folder: RunFolder,
    strategy: tf.distribute.Strategy,
    *,
    validates: bool,
    mask_id: int,
    initialize: Callable[[Any], None],
    before_first_step: Callable[[Any], None],
    show_progress: bool,
    writes: bool,
) -> Outcome:
    """Trains the model that `task` builds, or continues from the folder's last checkpoint.

    Args:
        config: the whole experiment, resolved.
        task: its task.
        folder: the run's folder, open.
        strategy: what it runs on.
        validates: whether there is something to evaluate on.
        mask_id: id of `[MASK]`.
        initialize: sets the weights that the model starts with; is called where there is no checkpoint.
        before_first_step: is called with the model, unless the run has made all its steps already.
        show_progress: whether to draw a progress bar.
        writes: whether this process writes the run's files.

    Raises:
        CorpusError: if a record cannot be read.
        TrainingError: if the training cannot continue.
        OutputError: if a checkpoint cannot be written, or does not fit.
    """
    trainer, runtime, data = config.trainer, config.runtime, config.task.train_data
    # Keras draws the seeds of initialisers from its process-wide generators.
    keras.utils.set_random_seed(trainer.seed)
    clock = Clock.create()
    with strategy.scope(), _computing_in(runtime.mixed_precision_dtype):
        model = task.build_model()
        # The step clips by itself: by the norm over all devices.
        optimizer_config = dataclasses.replace(trainer.optimizer, gradient_clip_norm=0.0)
        optimizer = build_optimizer(optimizer_config, trainer.train_steps, model.trainable_variables, clock)
    state = TrainingState(
        folder.checkpoints,
        model,
        optimizer,
        LossScale(runtime),
        task.objectives,
        clock,
        max_to_keep=trainer.max_to_keep,
        writes=writes,
    )
    step = state.restore()
    if not step:
        with strategy.scope():
            initialize(model)
    check_agreement(strategy, step)
    if writes:
        folder.rewind_log(step, checkpoint_interval=trainer.checkpoint_interval)
        if step:
            logger.info(f"{folder.path}: going on from step {step:,}")

    start_example = step * data.global_batch_size
    batches = distribute(strategy, lambda context: task.build_inputs(data, context, start_example=start_example))
    train_step = TrainStep(
        task,
        model,
        optimizer,
        batches.element_spec,
        strategy=strategy,
        seed=trainer.seed,
        parts=trainer.accumulation_steps,
        clip_norm=trainer.optimizer.gradient_clip_norm,
        enable_xla=runtime.enable_xla,
        static_shapes=runtime.needs_static_shapes,
    )
    validate = None
    if validates:
        held_out = distribute(strategy, lambda context: task.build_inputs(config.task.validation_data, context))
        validate = build_evaluator(task, model, held_out, mask_id, strategy)
    if step < trainer.train_steps:
        before_first_step(model)
    stop = StopRequest()
    with stop, Progress(folder, trainer.train_steps, step, shows=show_progress, writes=writes) as progress:
        finished = train(
            train_step,
            trainer,
            state,
            readable(batches),
            validate,
            progress,
            stop,
            describe_batch=lambda step: describe_batch(data, step),
        )
    if finished:
        try:
            state.restore_best()
        except OutputError as error:
            logger.warning(f"note: {error} The model has the weights of the last step")
            state.restore()
            state.best_step.assign(state.step)
        if tf.distribute.get_strategy() is not strategy or runtime.mixed_precision_dtype != "float32":
            weights = model.get_weights()
            model = task.build_model()
            model.set_weights(weights)
    return Outcome(model, state, None if finished else stop)


@contextlib.contextmanager
def _computing_in(dtype: str) -> Iterator[None]:
    """Makes layers that compute in `dtype`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[dtype])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def describe_batch(config: DataConfig, step: int) -> str:
    """Where the batch of a step, counted from 0, came from: shards and how many examples of each."""
    start = step * config.global_batch_size
    batches = build_dataset(config, start_example=start, with_origin=True)
    shards = Counter(path.decode() for path in next(readable(batches))["origin_path"].numpy())
    listed = ", ".join(f"{path} ({count} examples)" for path, count in sorted(shards.items()))
    return f"examples {start:,} to {start + config.global_batch_size - 1:,} in the order of training, from {listed}"
