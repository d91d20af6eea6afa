from __future__ import annotations

import math
from typing import Any

import pytest

from bench.quality.recipes import RECIPES
from bench.quality.report import best_rates, factors, minutes_to_reach, picture, table


def line(recipe: str, minutes: float, rate: float, seed: int, loss: float) -> dict[str, Any]:
    losses = {"masked_lm": {"all": {"loss": loss}}}
    return {"recipe": recipe, "minutes": minutes, "rate": rate, "seed": seed, "tune": losses, "test": losses}


LINES = [
    line("bert", 5, 1e-4, 0, 6.0),
    line("bert", 5, 1e-3, 0, 5.0),
    line("bert", 5, 1e-3, 1, 5.5),
    line("bert", 20, 1e-3, 0, 4.0),
    line("packed", 5, 3e-3, 0, 4.5),
]


def test_rates_are_chosen_at_one_budget_and_seed() -> None:
    assert best_rates(LINES, 5) == {"bert": 1e-3, "packed": 3e-3}
    assert best_rates(LINES, 20) == {"bert": 1e-3}


@pytest.mark.parametrize(
    ("loss", "minutes"), [(6.5, 5.0), (6.0, 5.0), (5.0, 10.0), (4.0, 20.0), (4.5, math.sqrt(200.0)), (3.9, None)]
)
def test_minutes_to_reach_a_loss(loss: float, minutes: float | None) -> None:
    """Between 5 minutes at 6 nats and 20 at 4, a nat for each doubling; never beyond what was measured."""
    found = minutes_to_reach(loss, {5.0: 6.0, 20.0: 4.0})
    assert found == (None if minutes is None else pytest.approx(minutes))


def test_table_and_picture() -> None:
    shown = table(LINES, "test", RECIPES)
    assert "| recipe | rate | 5 min | 20 min |" in shown
    assert "| bert | 0.001 | 5.250 (5.000 to 5.500) | 4.000 |" in shown
    assert "| bert | 0.0001 (its own) | 6.000 |  |" in shown
    assert ">packed</text>" in picture(LINES, "test", best_rates(LINES, 5))


def test_factors_compare_with_the_peers() -> None:
    lines = [*LINES, line("run_mlm", 20, 3e-4, 0, 5.25), line("run_mlm", 20, 5e-5, 0, 3.0)]
    found = factors(lines, "test", RECIPES, {"bert": 1e-3})
    assert found.split("\n") == [
        "run_mlm at 0.0003, 20 minutes: 5.250 nats; bert: 5.0 minutes, 4.0 times fewer",
        "run_mlm at 5e-05, 20 minutes: 3.000 nats; bert: no budget",
    ]
