"""`validate`: check a corpus against its manifest."""

from __future__ import annotations

import argparse

from pipeline.commands.common import EXIT_FAILED, EXIT_OK, Commands, add_command, add_job_flags, workers


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Check every record of a corpus; exit with status 1 if anything is wrong."
    parser = add_command(commands, "validate", _run, summary)
    parser.add_argument("corpus", metavar="OUT", help="directory of a finished corpus")
    parser.add_argument(
        "--max-repeats",
        type=float,
        default=0.001,
        metavar="SHARE",
        help="allowed share of examples whose text occurs more often than dupe_factor explains, and of validation"
        " passages that also occur in the training text (default: 0.001)",
    )
    add_job_flags(parser)


def _run(arguments: argparse.Namespace) -> int:
    from pipeline.inspection.validation.report import render_validation
    from pipeline.inspection.validation.validate import validate_corpus

    result = validate_corpus(
        arguments.corpus,
        workers=workers(arguments),
        max_repeats=arguments.max_repeats,
        show_progress=not arguments.no_progress,
    )
    print(f"{arguments.corpus}: {render_validation(result)}")
    return EXIT_FAILED if result.problems else EXIT_OK
