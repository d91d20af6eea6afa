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


def _modern(least: float, *, layers: int, hidden: int, heads: int, rate: float) -> Recipe:
    """A small ModernBERT with as many parameters in its blocks as a BERT of these layers, trained with Muon."""
    encoder = {
        "type": "modernbert",
        "vocab_size": None,
        "num_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": 8 * round(hidden / 3),  # Two thirds of BERT's: three matrices instead of two.
    }
    head = {"name": "next_sentence", "inner_dim": None, "num_classes": 2}
    return Recipe(
        least,
        f"modernbert, {layers} layers of {hidden}, muon, batches of {_BATCH}",
        {
            "task": {
                "model": {"encoder": encoder, "cls_heads": [head]},
                "train_data": {
                    "global_batch_size": _BATCH,
                    "masked_lm_prob": 0.3,
                    "final_masked_lm_prob": 0.15,
                },
                "validation_data": {"global_batch_size": 64},
            },
            "trainer": {
                "train_steps": 1000,
                "optimizer": {"type": "muon", "learning_rate": rate, "warmup_steps": 100, "decay": "linear"},
            },
        },
    )


# What was compared, and what was not: docs/quality.md.
_BATCH = 16
RECIPES = (
    _modern(0, layers=2, hidden=128, heads=2, rate=1e-2),
    _modern(3600, layers=4, hidden=256, heads=4, rate=5e-3),
    _modern(4 * 3600, layers=6, hidden=384, heads=6, rate=3e-3),
)


def recipe_for(seconds: float) -> Recipe:
    """The recipe for a budget: the last one that is for so much time."""
    return [recipe for recipe in RECIPES if recipe.least <= seconds][-1]
