"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from pipeline.errors import CorpusError
from pipeline.training.configs import TrainerConfig
from pipeline.training.run_folder import RunFolder
from pipeline.training.summaries import ScalarWriter
from pipeline.training.training_state import TrainingState


def train(
    task: Any,
    model: Any,
    optimizer: Any,
    config: TrainerConfig,
    state: TrainingState,
    metrics: list[Any],
    batches: Iterator[Mapping[str, Any]],
    validate: Callable[[], dict[str, float]] | None,
    folder: RunFolder,
    *,
    show_progress: bool = True,
) -> None:
    """Trains from the state's step to `config.train_steps`.

    On the way it logs the means over every `summary_interval` steps to the run's log and to
    TensorBoard, evaluates, keeps the best weights, and writes checkpoints.

    Args:
        task: a `MaskedLMTask`.
        model: its model.
        optimizer: the optimiser, built.
        config: steps and intervals.
        state: the run's state, restored.
        metrics: what `task.build_metrics` gave, and a mean called "loss"; held by `state`.
        batches: training batches, from the state's position on.
        validate: evaluates the model; None where there is nothing to evaluate on.
        folder: where the log and the summaries go.
        show_progress: whether to draw a progress bar.

    Raises:
        CorpusError: if a record cannot be read.
    """
    train_step = _build_train_step(task, model, optimizer, metrics, state)
    writers = {name: ScalarWriter(f"{folder.summaries}/{name}") for name in ("train", "validation")}
    step = int(state.step)
    compiled = False
    bar = tqdm(total=config.train_steps, initial=step, unit="step", desc="pretrain", disable=not show_progress)
    with bar:
        while step < config.train_steps:
            batch = _next_batch(batches)
            started = time.perf_counter()
            tokens = int(train_step(batch))
            if compiled:
                state.timed_seconds.assign_add(time.perf_counter() - started)
                state.timed_tokens.assign_add(tokens)
            compiled = True
            step = int(state.step)
            last = step == config.train_steps
            bar.update()
            if step % config.summary_interval == 0 or last:
                row = {metric.name: float(metric.result()) for metric in metrics}
                row["learning_rate"] = float(optimizer.learning_rate)
                _reset(metrics)
                _show(bar, row, state)
                folder.log({"step": step, "split": "train", "tokens": int(state.tokens), **row})
                tokens_per_second = state.tokens_per_second()
                writers["train"].write({**row, "tokens_per_second": tokens_per_second}, step)
            if validate is not None and (step % config.validation_interval == 0 or last):
                results = validate()
                state.note_validation(results["loss"])
                folder.log({"step": step, "split": "validation", **results})
                writers["validation"].write(results, step)
                bar.write(f"step {step:,}: validation " + _in_words(results))
            if step % config.checkpoint_interval == 0 or last:
                state.save()


def _build_train_step(
    task: Any, model: Any, optimizer: Any, metrics: list[Any], state: TrainingState
) -> Callable[[Any], Any]:
    by_name = {metric.name: metric for metric in metrics}

    @tf.function(reduce_retracing=True)
    def train_step(batch: Mapping[str, Any]) -> Any:
        """One step; returns the batch's real tokens."""
        logs = task.train_step(batch, model, optimizer, metrics)
        by_name["loss"].update_state(logs[task.loss])
        tokens = tf.reduce_sum(tf.cast(batch["input_mask"], tf.int64))
        state.tokens.assign_add(tokens)
        state.step.assign_add(1)
        return tokens

    return train_step


def _next_batch(batches: Iterator[Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        return next(batches)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        raise CorpusError(
            "A training record cannot be read",
            received=" ".join(str(error.message).split())[:300],
            do="Compare the shards with their SHA-256 in the manifest, and copy or make them again",
        ) from error


def _reset(metrics: list[Any]) -> None:
    for metric in metrics:
        metric.reset_state()


def _show(bar: Any, row: Mapping[str, float], state: TrainingState) -> None:
    bar.set_postfix_str(
        f"loss {row['loss']:.3f}, accuracy {row['masked_lm_accuracy']:.3f}, {state.tokens_per_second():,.0f} tokens/s"
    )


def _in_words(results: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in results.items())
