"""The command line: one command, verbs as subcommands.

Slow imports happen in the verb that needs them, when it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import sys
from collections.abc import Callable, Sequence

from pipeline.commands import (
    corpus,
    estimate,
    evaluate,
    export,
    inspect,
    predict,
    pretrain,
    report,
    sample_corpus,
    stats,
    validate,
    vocab,
)
from pipeline.commands.common import EXIT_INTERRUPTED, EXIT_USER_ERROR
from pipeline.config.flags import check_given_once
from pipeline.errors import UserError
from pipeline.interrupts import interrupts
from pipeline.standard_output import forgiving_errors, forgiving_output
from pipeline.version import __version__

PROG = "mlm-pipeline"
_VERBS = (sample_corpus, vocab, estimate, corpus, stats, inspect, report, validate, pretrain, evaluate, predict, export)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments; the process's by default.

    Returns:
        The exit code: 0 for success, 2 for an error that the user can fix (one message on standard error), 130 if
        interrupted. A traceback and 1 mean a bug in this program.
    """
    with forgiving_errors():
        return _run(sys.argv[1:] if argv is None else argv)


def _run(argv: Sequence[str]) -> int:
    # TensorFlow's notes on start-up (missing drivers, CPU instructions) would bury the output that the user wants.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Beam warns about optional packages that nothing here needs.
    logging.basicConfig(level=logging.ERROR)
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    check_given_once(arguments.parser, argv[1:])
    if unknown and not arguments.takes_beam_options:
        name = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(name, arguments.parser._option_string_actions, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
    arguments.beam_args = unknown
    try:
        run: Callable[[argparse.Namespace], int] = arguments.run
        # Training handles signals itself: it saves a checkpoint and stops.
        with forgiving_output(), interrupts() if arguments.takes_beam_options else contextlib.nullcontext():
            return run(arguments)
    except UserError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print(f"{PROG}: interrupted; the same command continues from here", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG, description="Raw text to TFRecords for BERT-style masked-LM pre-training, and the pre-training."
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    add_commands(parser)
    return parser


def add_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Adds all commands to a parser; returns theirs, by their names."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb in _VERBS:
        verb.add(commands)
    return dict(commands.choices)
