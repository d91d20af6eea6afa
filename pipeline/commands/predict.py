"""`predict`: a trained model's predictions for [MASK]."""

from __future__ import annotations

import argparse

from pipeline.commands.common import EXIT_OK, Commands, add_command, add_model_flag
from pipeline.quiet import start_tensorflow


def add(commands: Commands) -> None:
    """Adds the verb."""
    parser = add_command(commands, "predict", _run, "Fill the masks of texts with a trained model.")
    parser.add_argument("text", nargs="+", help="text with [MASK] in it, such as 'Paris is the [MASK] of France.'")
    add_model_flag(parser)
    parser.add_argument("--top-k", type=int, default=5, metavar="K", help="number of guesses per mask (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    start_tensorflow()
    from pipeline.training.evaluation.predict import predict

    found = predict(arguments.run_dir, arguments.text, arguments.top_k)
    if arguments.json:
        values = [
            {"text": text, "masks": [[dataclasses.asdict(guess) for guess in guesses] for guesses in masks]}
            for text, masks in zip(arguments.text, found, strict=True)
        ]
        print(json.dumps(values, indent=1, ensure_ascii=False))
        return EXIT_OK
    for text, masks in zip(arguments.text, found, strict=True):
        print(text)
        for number, guesses in enumerate(masks, start=1):
            shown = "  ".join(f"{guess.token} {guess.probability:.1%}" for guess in guesses)
            print(f"  [MASK] {number}: {shown}")
    return EXIT_OK
