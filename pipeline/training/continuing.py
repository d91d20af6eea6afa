"""The recipe for continuing a model's pre-training, where the user leaves it open."""

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
_STEPS = (100, 12_500)  # The most: those of Gururangan et al., 2020.
_BATCHES = (16, 256)
_FEWEST_UPDATES = 400  # Of a small corpus, in its epochs: then the batch is smaller.
_WARMUP = 0.06  # As a share of the steps; Gururangan et al., 2020.
_RATE, _RATE_BATCH = 5e-5, 32  # Sun et al., 2019.


class Recipe(NamedTuple):
    """How to continue a model.

    Attributes:
        batch_size: examples of a batch.
        steps: of the optimiser.
        learning_rate: its peak.
        warmup_steps: steps of its rise.
    """

    batch_size: int
    steps: int
    learning_rate: float
    warmup_steps: int


def continuing_recipe(examples: int, *, batch_size: int | None = None, steps: int | None = None) -> Recipe:
    """Chooses how to continue a model on a corpus.

    Three epochs of it; a batch of 256 examples, or less where these would be fewer than 400 updates; a learning rate of
    5e-5 for 32 examples, which grows with the root of the batch: 1.4e-4 for 256, and 4e-4 for the 2,048 for which
    Gururangan et al. (2020, https://arxiv.org/abs/2004.10964) use 5e-4; and their warm-up, 6 % of the steps. The rate
    for 32 is that of Sun et al. (2019, https://arxiv.org/abs/1905.05583).

    Args:
        examples: training examples of the corpus, at least 1.
        batch_size: where the user has set it.
        steps: where the user has set them.
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
    """Options to continue a model with the recipe for it where they leave it open.

    Args:
        values: an `ExperimentConfig`'s options, as YAML has them.
        given: the options that the user has set, by their paths.
        corpora: what it is trained on.
        held: the configuration of the run, if it has begun: what was chosen then stays.

    Returns:
        The options; and what was chosen, in words, which is nothing where all is set, or the run has begun.
    """
    batch, steps = "task.train_data.global_batch_size", "trainer.train_steps"
    rate, warmup = "trainer.optimizer.learning_rate", "trainer.optimizer.warmup_steps"
    has_budget = bool(given.get("trainer.budget"))
    examples = sum(shard.examples for manifest in corpora.manifests for shard in manifest.split("train"))
    recipe = continuing_recipe(max(1, examples), batch_size=_whole(given.get(batch)), steps=_whole(given.get(steps)))
    chosen: dict[str, Any] = {batch: recipe.batch_size, rate: recipe.learning_rate}
    if not has_budget:  # It decides these by itself.
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
        batch: f"{recipe.batch_size:,} examples a batch (--batch-size)",
        steps: f"{recipe.steps:,} steps (--steps)",
        rate: f"a learning rate of {recipe.learning_rate:g} (--learning-rate)",
        warmup: f"a warm-up of {recipe.warmup_steps:,}",
    }
    parts = [text for path, text in told.items() if path in left_open]
    said = f"chosen to continue a model on {examples:,} examples: {', '.join(parts)}" if parts and held is None else ""
    return merged(nested, dict(values)), said


def _whole(value: Any) -> int | None:
    """A number of steps or examples that the user has set, if it is one: what is none is refused later."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
