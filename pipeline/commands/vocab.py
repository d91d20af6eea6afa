"""`vocab`: learn a vocabulary from raw text."""

from __future__ import annotations

import argparse

from pipeline.beam.vocab.config import VocabConfig
from pipeline.commands.common import (
    EXIT_OK,
    Commands,
    add_command,
    add_job_flags,
    add_overwrite_flag,
    check_beam_args,
    workers,
)
from pipeline.config.flags import add_flags, config_from


def add(commands: Commands) -> None:
    """Adds the verb."""
    parser = add_command(commands, "vocab", _run, "Learn a vocabulary from raw text.", takes_beam_options=True)
    add_flags(parser, VocabConfig)
    add_job_flags(parser)
    add_overwrite_flag(parser)


def _run(arguments: argparse.Namespace) -> int:
    from pipeline.beam.vocab.make import make_vocabulary

    check_beam_args(arguments)
    config = config_from(arguments, VocabConfig)
    report = make_vocabulary(
        config,
        beam_args=arguments.beam_args,
        workers=workers(arguments),
        overwrite=arguments.overwrite,
        show_progress=not arguments.no_progress,
    )
    print(report)
    return EXIT_OK
