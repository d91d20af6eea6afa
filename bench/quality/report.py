"""The table and the picture of what was measured."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.quality.recipes import Recipe
from pipeline.inspection.svg import Axis, named_lines

Line = Mapping[str, Any]
_STYLE = (
    "text { font: 12px system-ui, sans-serif; fill: #555; } .name { text-anchor: end; } .tick { text-anchor: middle; }"
    " .grid { stroke: #ddd; }"
)


def read(results: Path, **wanted: object) -> list[dict[str, Any]]:
    """The runs that were measured, of them those with certain values: `size="tiny"`."""
    lines = map(json.loads, results.read_text().splitlines() if results.exists() else [])
    return [line for line in lines if wanted.items() <= line.items()]


def loss_of(line: Line, evaluation: str) -> float:
    """The masked-LM loss of a run, in nats."""
    return float(line[evaluation]["masked_lm"]["all"]["loss"])


def best_rates(lines: Iterable[Line], minutes: float) -> dict[str, float]:
    """The rate of each recipe with the lowest loss on "tune", at one budget and seed 0."""
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        if line["minutes"] == minutes and line["seed"] == 0:
            found[line["recipe"]].append((loss_of(line, "tune"), line["rate"]))
    return {name: min(tried)[1] for name, tried in found.items()}


def curves(lines: Iterable[Line], evaluation: str) -> dict[tuple[str, float], dict[float, list[float]]]:
    """The losses of all seeds, by recipe and rate, by minutes."""
    found: dict[tuple[str, float], dict[float, list[float]]] = {}
    for line in lines:
        budgets = found.setdefault((line["recipe"], line["rate"]), {})
        budgets.setdefault(line["minutes"], []).append(loss_of(line, evaluation))
    return found


def minutes_to_reach(loss: float, curve: Mapping[float, float]) -> float | None:
    """The budget at which a curve comes to a loss, between measured ones linear in the logarithm of the minutes.

    Returns:
        None if no measured budget reaches it. The smallest budget if that does already: an upper bound.
    """
    points = sorted(curve.items())
    if points[0][1] <= loss:
        return points[0][0]
    for (early, high), (late, low) in itertools.pairwise(points):
        if low <= loss:
            share = (high - loss) / (high - low)
            return math.exp(math.log(early) + share * (math.log(late) - math.log(early)))
    return None


def table(lines: Sequence[Line], evaluation: str, recipes: Mapping[str, Recipe]) -> str:
    """Rows of Markdown: the mean loss, and the spread of the seeds, by recipe, rate and budget."""
    found = curves(lines, evaluation)
    budgets = sorted({line["minutes"] for line in lines})
    rows = [f"| recipe | rate | {' | '.join(f'{minutes:g} min' for minutes in budgets)} |"]
    rows.append("| --- | --- |" + " --- |" * len(budgets))
    for (name, rate), curve in found.items():
        cells = [_cell(curve.get(minutes, [])) for minutes in budgets]
        own = " (its own)" if rate == recipes[name].rates[0] else ""
        rows.append(f"| {name} | {rate:g}{own} | {' | '.join(cells)} |")
    return "\n".join(rows)


def factors(lines: Sequence[Line], evaluation: str, recipes: Mapping[str, Recipe], rates: Mapping[str, float]) -> str:
    """Says after how many minutes our recipes, at their tuned rates, reach the peers' losses at the last budget."""
    means = {
        key: {minutes: statistics.mean(losses) for minutes, losses in curve.items()}
        for key, curve in curves(lines, evaluation).items()
    }
    tuned = {name: means[name, rate] for name, rate in rates.items() if (name, rate) in means}
    ours = {name: curve for name, curve in tuned.items() if recipes[name].program == "mlm-pipeline"}
    sentences = []
    for (name, rate), curve in means.items():
        if recipes[name].program == "mlm-pipeline":
            continue
        budget = max(curve)
        for mine, points in ours.items():
            minutes = minutes_to_reach(curve[budget], points)
            reached = "no budget" if minutes is None else f"{minutes:.1f} minutes, {budget / minutes:.1f} times fewer"
            sentences.append(f"{name} at {rate:g}, {budget:g} minutes: {curve[budget]:.3f} nats; {mine}: {reached}")
    return "\n".join(sentences)


def _cell(losses: Sequence[float]) -> str:
    if not losses:
        return ""
    mean = f"{statistics.mean(losses):.3f}"
    return f"{mean} ({min(losses):.3f} to {max(losses):.3f})" if len(losses) > 1 else mean


def picture(lines: Sequence[Line], evaluation: str, rates: Mapping[str, float]) -> str:
    """An SVG of the loss against the minutes, of each recipe at its tuned rate; points are ends of whole runs."""
    found = curves(lines, evaluation)
    means = {
        name: [(math.log2(minutes), statistics.mean(losses)) for minutes, losses in sorted(found[name, rate].items())]
        for name, rate in rates.items()
    }
    losses = [loss for points in means.values() for _, loss in points]
    logs = [x for points in means.values() for x, _ in points]
    low = math.floor(min(logs))
    x = Axis("CPU minutes", low, max(math.ceil(max(logs)), low + 1), text=lambda power: f"{2**power:g}")
    y = Axis("loss on held-out text, nats", math.floor(min(losses)), math.ceil(max(losses) + 1e-9))
    chart = named_lines(means, x, y)
    return chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ').replace(
        ">", f"><style>{_STYLE}</style>", 1
    )
