"""Changes one choice of a recipe at a time, and compares the losses after equal CPU minutes.

    python -m bench.quality.ablate TEXT --base packed --minutes 5 \\
        --change batch=16 --change trainer.optimizer.type=muon,rate=3e-3

Every run is a line of FOLDER/ablations.jsonl; a command that is given again measures what is missing alone. The loss is
on the held-out documents of TEXT ("tune"). A change is a list of `batch`, `rate`, `warmup`, `corpus` (the words of the
corpus command's options, separated by spaces) or an option of `pretrain` by its dotted name, each with its value.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import yaml

from bench.quality.measure import measure, steps_of_budget
from bench.quality.prepare import prepare
from bench.quality.recipes import RECIPES, SIZES, Data, Recipe
from bench.quality.report import loss_of, read


def main() -> None:
    """Measures what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="text to train and compare on, in any text format")
    parser.add_argument("--base", choices=RECIPES, default="packed", help="the recipe (default: %(default)s)")
    parser.add_argument("--change", action="append", default=[], metavar="NAME=VALUE,...", help="a run with this")
    parser.add_argument("--minutes", type=float, default=5, help="CPU minutes of a run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", choices=SIZES, default="tiny", help="of the models (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("out/quality"))
    parser.add_argument("--paces", action="store_true", help="measure the paces alone, which wants a quiet machine")
    options = parser.parse_args()
    data = Data(options.folder, **SIZES[options.size])
    results = options.folder / "ablations.jsonl"
    variants = {change: vary(RECIPES[options.base], change) for change in ["", *options.change]}
    prepare(options.text, None, variants.values(), data)
    if options.paces:
        for change, recipe in variants.items():
            print(f"{steps_of_budget(recipe, data, options.minutes):6,} steps  {change or options.base}", flush=True)
        return
    for seed in range(options.seeds):
        for change, recipe in variants.items():
            key = {"base": options.base, "change": change, "size": options.size, "minutes": options.minutes}
            key["seed"] = seed
            if read(results, **key):
                continue
            rate = recipe.rates[0]
            found = measure(recipe, data, minutes=options.minutes, rate=rate, seed=seed, evaluations=["tune"])
            line = {**key, "recipe": dataclasses.asdict(recipe), **found}
            with results.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            print(
                f"{loss_of(line, 'tune'):.3f}  {found['steps']:6,} steps  seed {seed}  {change or options.base}",
                flush=True,
            )
    print(table(read(results)))


def vary(recipe: Recipe, change: str) -> Recipe:
    """The recipe with a change."""
    fields: dict[str, Any] = {}
    further = dict(recipe.options)
    for part in filter(None, re.split(r",(?=[\w.]+=)", change)):  # A list of stages has commas, too.
        name, _, value = part.partition("=")
        parsed = yaml.safe_load(value)
        if name == "rate":
            fields["rates"] = (float(value),)
        elif name == "corpus":
            fields["corpus"] = tuple(value.split())
        elif name in ("batch", "warmup"):
            fields[name] = parsed
        else:
            further[name] = parsed
    return dataclasses.replace(recipe, options=further, **fields)


def table(lines: list[dict[str, Any]]) -> str:
    """Rows of Markdown: each change's loss, and how far it is from its base's, best first."""
    kinds = sorted({(line["base"], line["size"], line["minutes"]) for line in lines})
    rows = []
    for kind in kinds:
        of_kind = [line for line in lines if (line["base"], line["size"], line["minutes"]) == kind]
        losses: dict[str, dict[int, float]] = {}
        for line in of_kind:
            losses.setdefault(line["change"], {})[line["seed"]] = loss_of(line, "tune")
        base = losses[""]
        rows += [f"{kind[0]}, {kind[1]}, {kind[2]:g} CPU minutes", "", "| change | loss | against the base | seeds |"]
        rows.append("| --- | --- | --- | --- |")
        for change, by_seed in sorted(losses.items(), key=lambda item: sum(item[1].values()) / len(item[1])):
            common = [by_seed[seed] - base[seed] for seed in by_seed if seed in base]
            mean = sum(by_seed.values()) / len(by_seed)
            rows.append(f"| {change or 'none'} | {mean:.3f} | {sum(common) / len(common):+.3f} | {len(by_seed)} |")
        rows.append("")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
