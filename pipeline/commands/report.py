"""`report`: a corpus, or several side by side, as one HTML page."""

from __future__ import annotations

import argparse

from pipeline.commands.common import EXIT_OK, Commands, add_command, add_overwrite_flag


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Write a report about a corpus, or a comparison of several, as one self-contained HTML file."
    parser = add_command(commands, "report", _run, summary)
    parser.add_argument(
        "corpora", nargs="+", metavar="OUT", help="directory of a finished corpus; several are compared side by side"
    )
    parser.add_argument("--output", default="report.html", metavar="HTML", help="file to write (default: report.html)")
    parser.add_argument(
        "--examples",
        type=int,
        default=20_000,
        metavar="N",
        help="approximate number of training examples to read of each corpus, for statistics that the manifest"
        " does not contain (default: 20000)",
    )
    add_overwrite_flag(parser)


def _run(arguments: argparse.Namespace) -> int:
    from pipeline import files
    from pipeline.errors import ConfigError
    from pipeline.inspection.report import is_report, make_report

    if arguments.examples < 1:
        raise ConfigError("--examples must be at least 1", received=arguments.examples)
    files.check_output_file(arguments.output, is_report, overwrite=arguments.overwrite)
    page = make_report(*arguments.corpora, sample_examples=arguments.examples)
    files.write_atomically(arguments.output, page.encode("utf-8", "replace"))
    print(f"{arguments.output}: {len(page) / 1000:,.0f} kB")
    return EXIT_OK
