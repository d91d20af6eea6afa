"""Recipes for runs with a budget of time: which model to train on it, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A model's shape and the way it is trained.

    Args:
        least: the shortest budget that it is for, in seconds.
        description: what it is, for the plan.
        values: of an `ExperimentConfig`; the vocabulary is the corpus's. The budget decides
            `train_steps`; what counts here is which shares of it warm-up and decay have.
    """

    least: float
    description: str
    values: Mapping[str, Any]


def _modern(least: float, *, layers: int, hidden: int, heads: int, batch: int, optimizer: str, rate: float) -> Recipe:
    """A small ModernBERT at a constant rate that falls over the last third of the steps."""
    encoder = {
        "type": "modernbert",
        "vocab_size": None,
        "num_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": 3 * hidden // 2,
    }
    head = {"name": "next_sentence", "inner_dim": None, "num_classes": 2}
    optimization = {
        "type": optimizer,
        "learning_rate": rate,
        "warmup_steps": 100,
        "decay": "wsd",
        "decay_steps": 300,
        "beta_2": 0.98,
    }
    return Recipe(
        least,
        f"modernbert, {layers} layers of {hidden}, {optimizer}, batches of {batch}",
        {
            "task": {
                "model": {"encoder": encoder, "cls_heads": [head]},
                "train_data": {"global_batch_size": batch},
                "validation_data": {"global_batch_size": 256},
            },
            "trainer": {"train_steps": 1000, "optimizer": optimization},
        },
    )


# Encoder, optimiser, batch and rate of the first are the best of bench/quality/ablate.py at 2.5 CPU minutes and one
# seed, with wider blocks and a rate that fell linearly. The others are not compared yet.
RECIPES = (
    _modern(0, layers=2, hidden=128, heads=2, batch=16, optimizer="muon", rate=1e-2),
    _modern(10 * 60, layers=4, hidden=256, heads=4, batch=64, optimizer="adamw", rate=1e-3),
    _modern(2 * 3600, layers=6, hidden=384, heads=6, batch=64, optimizer="adamw", rate=8e-4),
)


def recipe_for(seconds: float) -> Recipe:
    """The recipe for a budget: the last one that is for so much time."""
    return [recipe for recipe in RECIPES if recipe.least <= seconds][-1]
