"""`estimate`: what a corpus will hold, and the time and memory that making it takes."""

from __future__ import annotations

import argparse

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.commands.common import EXIT_OK, Commands, add_command, add_job_flags, workers
from pipeline.config.flags import add_flags, config_from


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Estimate the contents of a corpus, and the time and memory needed to make it, from a sample of the text."
    parser = add_command(commands, "estimate", _run, summary)
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="files, directories or globs, as --input")
    parser.add_argument(
        "--sample-bytes", type=int, default=8 << 20, metavar="N", help="bytes of text to process (default: 8 MiB)"
    )
    add_flags(parser, CorpusConfig)
    add_job_flags(parser)


def _run(arguments: argparse.Namespace) -> int:
    from pipeline.errors import ConfigError
    from pipeline.inspection.estimate import estimate_corpus, render_estimate

    if arguments.sample_bytes < 1024:
        raise ConfigError("--sample-bytes must be at least 1024", received=arguments.sample_bytes)
    if arguments.inputs:
        arguments.input = [*arguments.inputs, *getattr(arguments, "input", [])]
    arguments.output = getattr(arguments, "output", "nowhere")  # Required by the job's options, but not used.
    estimate = estimate_corpus(config_from(arguments, CorpusConfig), sample_bytes=arguments.sample_bytes)
    print(render_estimate(estimate, workers(arguments)))
    return EXIT_OK
