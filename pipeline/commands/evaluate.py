"""`evaluate`: how well a trained model predicts."""

from __future__ import annotations

import argparse
from typing import Any

from pipeline.commands.common import EXIT_OK, Commands, add_command, add_model_flag, add_progress_flag
from pipeline.quiet import start_tensorflow


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Measure how well a trained model predicts the validation examples of a corpus, or a text."
    parser = add_command(commands, "evaluate", _run, summary)
    add_model_flag(parser)
    parser.add_argument(
        "--corpus",
        action="append",
        metavar="DIR",
        help="directory of a corpus; if given several times, each corpus is evaluated, and all of them together"
        " (default: the run's own; none with --text-file)",
    )
    parser.add_argument(
        "--text-file",
        metavar="TXT",
        help="file with one text per line; computes their exact pseudo-perplexity, which is slow",
    )
    parser.add_argument(
        "--pseudo-tokens",
        type=int,
        default=1000,
        metavar="N",
        help="number of tokens of the corpus, each masked on its own, to compute the pseudo-perplexity from; 0: none"
        " (default: 1000)",
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="examples per batch (default: 64)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_progress_flag(parser)


def _run(arguments: argparse.Namespace) -> int:
    import json

    start_tensorflow()
    from pipeline.training.configs import parse_checkpoint
    from pipeline.training.evaluation.evaluate import evaluate_corpora, evaluate_corpus, evaluate_text
    from pipeline.training.evaluation.tables import format_evaluation
    from pipeline.training.exchange.load import load_trained
    from pipeline.training.run_folder import RunFolder

    corpora = arguments.corpus
    if corpora is None and arguments.text_file is None:
        named = parse_checkpoint(arguments.run_dir.rstrip("/"))
        corpora = RunFolder(named[0] if named else arguments.run_dir).corpora()
    trained = load_trained(arguments.run_dir)
    results: dict[str, Any] = {}
    if corpora is not None:
        options = {
            "batch_size": arguments.batch_size,
            "pseudo_tokens": arguments.pseudo_tokens,
            "show_progress": not arguments.no_progress,
        }
        if len(corpora) > 1:
            results["corpora"] = evaluate_corpora(trained, corpora, **options)
        else:
            results["corpus"] = evaluate_corpus(trained, corpora[0], **options)
    if arguments.text_file is not None:
        results["text"] = evaluate_text(trained, arguments.text_file)
    print(json.dumps(results, indent=1) if arguments.json else format_evaluation(results))
    return EXIT_OK
