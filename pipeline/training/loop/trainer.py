"""Training the model of an experiment, from wherever its run stands."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from pipeline.errors import OutputError
from pipeline.reader.mixture import mean_tokens
from pipeline.reader.stages import StagedBatches
from pipeline.training.configs import DataConfig, ExperimentConfig
from pipeline.training.data.loader import training_batches
from pipeline.training.distribution import check_agreement, distribute
from pipeline.training.loop.heads_first import HeadsFirst
from pipeline.training.loop.plateau import Plateau
from pipeline.training.loop.progress import Progress
from pipeline.training.loop.stopping import StopRequest
from pipeline.training.loop.train_loop import train
from pipeline.training.loop.train_step import TrainStep
from pipeline.training.loop.training_state import TrainingState
from pipeline.training.loop.validation import Evaluation, build_evaluator
from pipeline.training.objectives.registry import MASKED_LM
from pipeline.training.optimization.averaging import WeightAverage
from pipeline.training.optimization.build import build_optimizer, build_schedule
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.loss_scaling import LossScale
from pipeline.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        model: the best model by validation loss, else the last, computing in float32 on one device. Its weights are
            averages, if such are kept.
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
    names: Sequence[str],
    validation: Mapping[str, DataConfig],
    mask_id: int,
    initialize: Callable[[Any], Collection[str]],
    before_first_step: Callable[[Any, int], float | None],
    fill_example: Callable[[Any], str] = lambda model: "",
    show_progress: bool,
    writes: bool,
    loop: Callable[..., bool] = train,
) -> Outcome:
    """Trains the model that `task` builds, or continues from the folder's last checkpoint.

    Args:
        config: the whole experiment, resolved.
        task: its task.
        folder: the run's folder, open.
        strategy: what it runs on.
        names: those of the corpora, in their order.
        validation: what to evaluate on, by the corpus's name; nothing where no corpus has validation examples.
        mask_id: id of `[MASK]`.
        initialize: sets the weights that the model starts with, and returns the paths of those that it leaves random
            in a model that starts from another one; is called where there is no checkpoint.
        before_first_step: is called with the model and the steps made before, unless these are all; returns the
            unigram baseline that evaluations are compared with, if it is known.
        fill_example: fills the masks of a sentence; is called with the model at each evaluation.
        show_progress: whether to draw a progress bar.
        writes: whether this process writes the run's files.
        loop: makes the steps, as `train` does.

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
        optimizer = build_optimizer(
            optimizer_config,
            trainer.train_steps,
            model.trainable_variables,
            clock,
            schedule=build_schedule(trainer, clock),
        )
        decay = trainer.optimizer.ema_decay
        average = None if decay is None else WeightAverage(model.trainable_variables, decay)
    heads_first = HeadsFirst(trainer.heads_only_steps)
    state = TrainingState(
        folder.checkpoints,
        model,
        optimizer,
        LossScale(runtime),
        task.objectives,
        clock,
        average=average,
        heads_first=heads_first,
        max_to_keep=trainer.max_to_keep,
        writes=writes,
    )
    step = state.restore()
    if not step and trainer.decay_from:
        source, step = trainer.decay_start
        state.restore_from(RunFolder(source).checkpoints, step)
        logger.info(f"{folder.path}: decaying the learning rate from {trainer.decay_from}")
    elif not step:
        with strategy.scope():
            heads_first.choose(initialize(model))
            if average is not None:
                average.restart()
    check_agreement(strategy, step)
    if writes:
        folder.rewind_log(step, checkpoint_interval=trainer.checkpoint_interval)
        if step:
            logger.info(f"{folder.path}: continuing from step {step:,}")

    several = bool(data.stages) or len(names) > 1
    plan = training_batches(data) if several else None
    start_example = plan.sizes.examples_before(step) if plan else step * data.global_batch_size
    batches = distribute(strategy, lambda context: task.build_inputs(data, context, start_example=start_example))
    make_step = functools.partial(
        TrainStep,
        task,
        model,
        optimizer,
        batches.element_spec,
        strategy=strategy,
        seed=trainer.seed,
        parts=trainer.accumulation_steps or 1,
        clip_norm=trainer.optimizer.gradient_clip_norm,
        average=average,
        enable_xla=runtime.enable_xla,
        static_shapes=runtime.needs_static_shapes,
    )
    heads_step: TrainStep | None = None
    if frozen := heads_first.frozen(model.trainable_variables):
        optimizer.start_late(frozen, heads_first.steps, warmup_steps=trainer.optimizer.warmup_steps)
        if step < heads_first.steps:
            heads_step = make_step(frozen=frozen)
    if writes and heads_first.steps and (heads_step is not None or not step):
        logger.info(f"{folder.path}: {heads_first.describe(model)}")
    validate: Callable[[], Evaluation] | None = None
    if validation:
        held_out = {
            name: distribute(strategy, functools.partial(task.build_inputs, held_out))
            for name, held_out in validation.items()
        }
        evaluate = build_evaluator(task, model, held_out, mask_id, strategy)

        def validate() -> Evaluation:
            return evaluate()._replace(example=fill_example(model))

    baseline = before_first_step(model, step) if step < trainer.train_steps else None
    plateau = Plateau(
        baseline,
        warmup_steps=max(trainer.optimizer.warmup_steps, heads_first.steps if frozen else 0),
        train_steps=trainer.train_steps,
        history=[
            (row["step"], row[MASKED_LM.loss_name])
            for row in (folder.read_log() if writes else [])
            if row["split"] == "validation" and MASKED_LM.loss_name in row
        ],
    )
    stop = StopRequest()
    shown = Progress(folder, trainer.train_steps, step, shows=show_progress, writes=writes, plateau=plateau)
    with stop, shown as progress:
        finished = loop(
            make_step(),
            trainer,
            state,
            batches,
            validate,
            progress,
            stop,
            heads_step=heads_step,
            alone=runtime.distribution_strategy != "multi_worker_mirrored",
            describe_batch=lambda step: describe_batch(data, step),
            describe_sources=lambda step: describe_sources(plan, names, step),
            describe_stage=lambda step: describe_stage(plan, step),
        )
    if finished:
        try:
            state.restore_best()
        except OutputError as error:
            logger.warning(f"note: {error} The model has the weights of the last step")
            state.restore()
            state.use_average()
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


def describe_sources(plan: StagedBatches | None, names: Sequence[str], step: int) -> dict[str, dict[str, float]]:
    """What each corpus gave up to a step; empty where there is one.

    Returns:
        By its name: its `examples`, the `epochs` that these are, and their `token_share`, in [0, 1].
    """
    if plan is None or len(names) == 1:
        return {}
    counts = plan.examples_before(step)
    tokens = [count * mean_tokens(source) for count, source in zip(counts, plan.sources, strict=True)]
    return {
        name: {"examples": count, "epochs": count / source.examples, "token_share": part / (sum(tokens) or 1)}
        for name, count, source, part in zip(names, counts, plan.sources, tokens, strict=True)
    }


def describe_stage(plan: StagedBatches | None, step: int) -> dict[str, int]:
    """The number of the stage of a step, counted from 1, and the examples of its batches; empty where there is one."""
    if plan is None or len(plan.sizes.sizes) == 1:
        return {}
    return {"stage": plan.sizes.number(step) + 1, "batch_size": plan.sizes.at(step)}


def describe_batch(config: DataConfig, step: int) -> str:
    """Where the batch of a step, counted from 0, came from: shards and how many examples of each."""
    batches = training_batches(config)
    start, size = batches.sizes.examples_before(step), batches.sizes.at(step)
    shards = Counter(path for path, _ in batches.origins(step))
    listed = ", ".join(f"{path} ({count} examples)" for path, count in sorted(shards.items()))
    return f"examples {start:,} to {start + size - 1:,} in the order of training, from {listed}"
