"""Trains recipes for equal CPU minutes and compares their held-out losses: `make bench-quality`.

    python -m bench.quality TEXT --test OTHER_TEXT --budgets 5 10 20 40 --seeds 3

Every run is a line of FOLDER/results.jsonl. A command that is given again measures what is missing alone. Only ends of
fully decayed runs are compared. The rate of a recipe is tuned at one budget and seed, by the loss on the held-out
documents of TEXT ("tune"); figures are to be read from OTHER_TEXT ("test"), which no choice was made on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.quality.measure import measure, steps_of_budget
from bench.quality.prepare import prepare
from bench.quality.recipes import RECIPES, SIZES, Data
from bench.quality.report import best_rates, factors, picture, read, table


def main() -> None:
    """Measures what is missing, then prints the table and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="text to train and tune on, in any text format")
    parser.add_argument("--test", type=Path, help="text of another source")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--budgets", nargs="+", type=float, default=[5, 10, 20, 40], help="CPU minutes")
    parser.add_argument("--tune-at", type=float, help="budget at which rates are tuned (default: the second)")
    parser.add_argument("--rates", nargs="+", type=float, help="rates to tune over, instead of the recipes' own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", choices=SIZES, default="mini", help="of the models (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("out/quality"))
    parser.add_argument("--paces", action="store_true", help="measure the paces alone, which wants a quiet machine")
    options = parser.parse_args()
    recipes = {name: RECIPES[name] for name in options.recipes}
    data = Data(options.folder, **SIZES[options.size])
    prepare(options.text, options.test, recipes.values(), data)
    evaluations = [name for name in ("tune", "test") if (options.folder / f"evaluation-{name}").exists()]
    if options.paces:
        for name, recipe in recipes.items():
            for minutes in options.budgets:
                print(
                    f"{steps_of_budget(recipe, data, minutes):6,} steps in {minutes:g} CPU minutes: {name}", flush=True
                )
        return
    results = options.folder / "results.jsonl"
    tune_at = options.tune_at or options.budgets[min(1, len(options.budgets) - 1)]

    def run(name: str, minutes: float, rate: float, seed: int) -> None:
        key = {"size": options.size, "recipe": name, "minutes": minutes, "rate": rate, "seed": seed}
        if read(results, **key):
            return
        found = measure(recipes[name], data, minutes=minutes, rate=rate, seed=seed, evaluations=evaluations)
        with results.open("a") as stream:
            stream.write(json.dumps({**key, **found}) + "\n")
        losses = ", ".join(f"{loss} {found[loss]['masked_lm']['all']['loss']:.3f}" for loss in evaluations)
        print(f"{name}, {minutes:g} min, rate {rate:g}, seed {seed}: {losses}", flush=True)

    for name, recipe in recipes.items():
        for rate in options.rates or recipe.rates:
            run(name, tune_at, rate, 0)
    tuned = best_rates(read(results, size=options.size), tune_at)
    for minutes in sorted(options.budgets):
        for name, recipe in recipes.items():
            own = () if options.rates else recipe.rates[:1]
            for rate in sorted({*own, tuned[name]}):
                for seed in range(options.seeds):
                    run(name, minutes, rate, seed)
    print("\n".join(f"{name}: {recipe.note}" for name, recipe in recipes.items()))
    measured = read(results, size=options.size)
    print(table(measured, evaluations[-1], RECIPES))
    print(factors(measured, evaluations[-1], RECIPES, tuned))
    (options.folder / "quality.svg").write_text(picture(measured, evaluations[-1], tuned))


if __name__ == "__main__":
    main()
