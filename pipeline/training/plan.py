"""What a run is going to do, told before its first step."""

from __future__ import annotations

import os
import textwrap
from typing import Any

from pipeline.training.configs import DataConfig, ExperimentConfig, OptimizerConfig, TrainerConfig
from pipeline.training.memory import Fit

_WIDTH = 80


def format_plan(config: ExperimentConfig, model: Any, fit: Fit, *, step: int, names: tuple[str, ...]) -> str:
    """The plan of a run in aligned lines: devices, sizes, epochs, and what was decided by default.

    Args:
        config: the experiment, resolved.
        model: its model.
        fit: how its batches fit into the memory.
        step: steps that are made already.
        names: those of the corpora, in their order.
    """
    from pipeline.reader.mixture import mean_tokens
    from pipeline.training.data.loader import training_batches

    trainer, data, optimizer = config.trainer, config.task.train_data, config.trainer.optimizer
    batches = training_batches(data)
    counts = batches.examples_before(trainer.train_steps)
    tokens = [count * mean_tokens(source) for count, source in zip(counts, batches.sources, strict=True)]
    examples, epochs = [], []
    for name, source, count in zip(names, batches.sources, counts, strict=True):
        label = f"{name}: " if len(names) > 1 else ""
        length = source.spec.max_seq_length
        examples.append(f"{label}{source.examples:,} of {mean_tokens(source):.0f} tokens on average, at most {length}")
        epochs.append(f"{label}{count / source.examples:,.2f}")
    smallest, largest = min(batches.sizes.sizes), batches.sizes.largest
    sizes = f"{largest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    of_step = round(largest * sum(tokens) / sum(counts))
    default = DataConfig().global_batch_size
    batch = [f"{sizes} examples{_if_default(largest, default, '--batch-size')}, about {of_step:,} tokens"]
    if fit.parts > 1:
        batch.append(f"in {fit.parts:,} parts, one after another (trainer.accumulation_steps)")
    steps = f"{trainer.train_steps:,}{_if_default(trainer.train_steps, TrainerConfig().train_steps, '--steps')}"
    rate = f"{optimizer.learning_rate:g}" + _if_default(
        optimizer.learning_rate, OptimizerConfig().learning_rate, "--learning-rate"
    )
    weights = sum(_size(variable) for variable in model.trainable_variables)
    embeddings = sum(_size(v) for v in model.trainable_variables if v.path.rpartition("/")[2] == "embeddings")
    rows = [
        ("device", _devices(config)),
        ("parameters", f"{weights:,}, of which {weights - embeddings:,} outside the embeddings"),
        ("examples", "; ".join(examples)),
        ("batch", ", ".join(batch)),
        ("steps", f"{steps}; continues after step {step:,}" if step else steps),
        ("epochs", f"{', '.join(epochs)}; {_about(sum(tokens))} tokens"),
        (
            "learning rate",
            f"{rate}, {optimizer.decay}, warm-up of {optimizer.warmup_steps:,}",
        ),
        ("memory", _memory(fit)),
        ("time", "shown after the first steps"),
    ]
    width = max(len(name) for name, _ in rows) + 2
    filler = textwrap.TextWrapper(_WIDTH, subsequent_indent=" " * width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(filler.fill(f"{name:<{width}}{text}") for name, text in rows if text)


def _if_default(value: object, default: object, flag: str) -> str:
    return f" (default; {flag})" if value == default else ""


def _size(variable: Any) -> int:
    size = 1
    for length in variable.shape:
        size *= length
    return size


def _devices(config: ExperimentConfig) -> str:
    import tensorflow as tf

    kind = next((kind for kind in ("TPU", "GPU") if tf.config.list_logical_devices(kind)), "CPU")
    devices = tf.config.list_logical_devices(kind)
    number = len(devices) if config.runtime.distribution_strategy != "one_device" else 1
    if kind == "GPU":
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        kind = details.get("device_name", kind)
    elif kind == "CPU":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        kind = f"CPU, {cores} core{'s' * (cores != 1)}"
    strategy, dtype = config.runtime.distribution_strategy, config.runtime.mixed_precision_dtype
    return f"{f'{number} x ' if number > 1 else ''}{kind}" + "".join(
        f", {said}" for said, usual in ((strategy, "one_device"), (dtype, "float32")) if said != usual
    )


def _memory(fit: Fit) -> str:
    if fit.needed is None:
        return ""
    if fit.available is None:
        return f"about {fit.needed / 1e9:.1f} GB"
    return f"about {fit.needed / 1e9:.1f} GB, of up to {fit.available / 1e9:.1f} GB for this run"


def _about(number: float) -> str:
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}"
