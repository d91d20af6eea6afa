"""`inspect`: examples of a shard, as text."""

from __future__ import annotations

import argparse
import os
import sys

from pipeline.commands.common import EXIT_OK, Commands, add_command


def add(commands: Commands) -> None:
    """Adds the verb."""
    parser = add_command(commands, "inspect", _run, "Show examples of a shard as text, with the masks marked.")
    parser.add_argument("shard", metavar="SHARD", help="TFRecord file")
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="number of examples to show (default: 3)")
    parser.add_argument(
        "--start", type=int, default=0, metavar="N", help="first example to show, counted from 0 (default: 0)"
    )
    parser.add_argument("--vocab", default="", metavar="TXT", help="vocabulary (default: the one beside the shard)")


def _run(arguments: argparse.Namespace) -> int:
    from pipeline.inspection.inspect import show_examples
    from pipeline.inspection.marked_text import LEGEND

    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for text in show_examples(
        arguments.shard, start=arguments.start, examples=arguments.examples, vocab=arguments.vocab, color=color
    ):
        print(text, end="\n\n")
    print(LEGEND)
    return EXIT_OK
