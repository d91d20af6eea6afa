"""`stats`: the statistics in a corpus's manifest."""

from __future__ import annotations

import argparse

from pipeline.commands.common import EXIT_OK, Commands, add_command


def add(commands: Commands) -> None:
    """Adds the verb."""
    parser = add_command(commands, "stats", _run, "Print the statistics in the manifest of a corpus.")
    parser.add_argument("corpus", metavar="OUT", help="directory of a finished corpus")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(arguments: argparse.Namespace) -> int:
    import json

    from pipeline.inspection.stats import render_summary, summarize_manifest
    from pipeline.manifest import read_manifest

    summary = summarize_manifest(read_manifest(arguments.corpus))
    if arguments.json:
        print(json.dumps(summary, indent=1, ensure_ascii=False))
    else:
        print(f"{arguments.corpus}: {render_summary(summary)}")
    return EXIT_OK
