"""`sample-corpus`: real text that needs no download."""

from __future__ import annotations

import argparse

from pipeline.commands.common import EXIT_OK, Commands, add_command, add_overwrite_flag, add_progress_flag


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Extract English prose from the documentation of installed Python packages, to try things out."
    parser = add_command(commands, "sample-corpus", _run, summary)
    parser.add_argument("--output", required=True, metavar="TXT", help="file to write")
    add_overwrite_flag(parser)
    add_progress_flag(parser)


def _run(arguments: argparse.Namespace) -> int:
    from pipeline import files
    from pipeline.sample.corpus import write_sample_corpus

    files.check_output_file(
        arguments.output, files.is_as_described, overwrite=arguments.overwrite, beside=[f"{arguments.output}.json"]
    )
    summary = write_sample_corpus(arguments.output, progress=not arguments.no_progress)
    print(f"{arguments.output}: {summary.documents:,} documents, {summary.bytes / 1e6:.1f} MB")
    return EXIT_OK
