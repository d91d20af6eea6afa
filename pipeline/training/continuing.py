"""Chooses batch size, steps and learning rate for continued pre-training, unless the user sets them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.config.tree import merged
from pipeline.training.config_differences import flatten
from pipeline.training.configs import ExperimentConfig
from pipeline.training.corpora import Corpora

_EPOCHS = 3
_STEPS = (100, 12_500)  # The maximum is that of Gururangan et al., 2020.
_BATCHES = (16, 256)
_FEWEST_UPDATES = 400  # With a small corpus, the batch is reduced to reach this number.
_WARMUP = 0.06  # As a share of the steps; Gururangan et al., 2020.
_RATE, _RATE_BATCH = 5e-5, 32  # Sun et al., 2019.


class Recipe(NamedTuple):
    """How to continue training a model.

    Attributes:
        batch_size: examples per batch.
        steps: number of optimiser steps.
        learning_rate: peak learning rate.
        warmup_steps: steps until the peak.
    """

    batch_size: int
    steps: int
    learning_rate: float
    warmup_steps: int


def continuing_recipe(examples: int, *, batch_size: int | None = None, steps: int | None = None) -> Recipe:
    """Chooses how to continue training a model on a corpus.

    The recipe is three epochs with a batch of 256 examples, or fewer if that would give fewer than 400 updates. The
    learning rate is 5e-5 for a batch of 32 (Sun et al., 2019, https://arxiv.org/abs/1905.05583) and grows with the
    square root of the batch size: 1.4e-4 for 256, and 4e-4 for 2,048, where Gururangan et al. (2020,
    https://arxiv.org/abs/2004.10964) use 5e-4. Warm-up takes 6 % of the steps, as in that paper.

    Args:
        examples: training examples of the corpus, at least 1.
        batch_size: the user's batch size; None to choose one.
        steps: the user's number of steps; None to choose one.
    """
    least, most = _BATCHES
    if batch_size is None:
        wanted = max(1, _EPOCHS * examples // _FEWEST_UPDATES)
        batch_size = min(most, max(least, 1 << (wanted.bit_length() - 1)))
    if steps is None:
        fewest, largest = _STEPS
        steps = min(largest, max(fewest, math.ceil(_EPOCHS * examples / batch_size)))
    rate = _RATE * math.sqrt(batch_size / _RATE_BATCH)
    return Recipe(batch_size, steps, float(f"{rate:.2g}"), min(math.ceil(_WARMUP * steps), steps - 1))


def fill_in_recipe(
    values: Mapping[str, Any], given: Mapping[str, Any], corpora: Corpora, held: ExperimentConfig | None
) -> tuple[dict[str, Any], str]:
    """Fills in the options for continued pre-training that the user has not set.

    Args:
        values: the options of an `ExperimentConfig`, as in YAML.
        given: the options that the user has set, by path.
        corpora: the training corpora.
        held: the configuration of the run, if it has begun; its values are kept.

    Returns:
        The options, and a description of what was chosen: "" if everything was set or the run has begun.
    """
    batch, steps = "task.train_data.global_batch_size", "trainer.train_steps"
    rate, warmup = "trainer.optimizer.learning_rate", "trainer.optimizer.warmup_steps"
    has_budget = bool(given.get("trainer.budget"))
    examples = sum(shard.examples for manifest in corpora.manifests for shard in manifest.split("train"))
    recipe = continuing_recipe(max(1, examples), batch_size=_whole(given.get(batch)), steps=_whole(given.get(steps)))
    chosen: dict[str, Any] = {batch: recipe.batch_size, rate: recipe.learning_rate}
    if not has_budget:  # A budget determines these.
        chosen |= {steps: recipe.steps, warmup: recipe.warmup_steps}
        often = max(1, recipe.steps // 10)
        chosen |= {f"trainer.{name}_interval": min(1000, often) for name in ("validation", "checkpoint")}
        chosen["trainer.summary_interval"] = min(100, max(1, recipe.steps // 20))
    left_open = {path: value for path, value in chosen.items() if path not in given}
    if held is not None:
        known = flatten(dataclasses.asdict(held))
        left_open = {path: known[path] for path in left_open}
    nested: dict[str, Any] = {}
    for path, value in left_open.items():
        for name in reversed(path.split(".")):
            value = {name: value}
        nested = merged(nested, value)
    told = {
        batch: f"{recipe.batch_size:,} examples per batch (--batch-size)",
        steps: f"{recipe.steps:,} steps (--steps)",
        rate: f"a learning rate of {recipe.learning_rate:g} (--learning-rate)",
        warmup: f"a warm-up of {recipe.warmup_steps:,}",
    }
    parts = [text for path, text in told.items() if path in left_open]
    said = f"chosen to continue a model on {examples:,} examples: {', '.join(parts)}" if parts and held is None else ""
    return merged(nested, dict(values)), said


def _whole(value: Any) -> int | None:
    """Returns a number that the user has set; None for anything else, which is refused later."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
