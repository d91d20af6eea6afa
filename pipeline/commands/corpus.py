"""`corpus`: raw text to TFRecords."""

from __future__ import annotations

import argparse

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.commands.common import EXIT_OK, Commands, add_command, add_job_flags, check_beam_args, workers
from pipeline.config.flags import add_flags, config_from


def add(commands: Commands) -> None:
    """Adds the verb."""
    summary = "Make TFRecords of training examples from raw text."
    parser = add_command(commands, "corpus", _run, summary, takes_beam_options=True)
    add_flags(parser, CorpusConfig)
    add_job_flags(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a finished corpus that was made with other options"
    )


def _run(arguments: argparse.Namespace) -> int:
    from pipeline.beam.corpus.make import make_corpus

    check_beam_args(arguments)
    config = config_from(arguments, CorpusConfig)
    manifest = make_corpus(
        config,
        beam_args=arguments.beam_args,
        workers=workers(arguments),
        overwrite=arguments.overwrite,
        show_progress=not arguments.no_progress,
    )
    for split in ("train", "validation"):
        shards = manifest.split(split)
        if shards:
            print(
                f"{config.output}: {split}: {sum(shard.examples for shard in shards):,} examples,"
                f" {sum(shard.tokens for shard in shards):,} tokens, {len(shards):,} shards,"
                f" {sum(shard.bytes for shard in shards) / 1e6:,.1f} MB"
            )
    return EXIT_OK
