"""The command line: parses, validates, calls. What takes long to import is imported by the command that needs it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pipeline.errors import ConfigError, UserError
from pipeline.options import add_flags, config_from
from pipeline.version import __version__

PROG = "mlm-pipeline"
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
EXIT_OK, EXIT_USER_ERROR, EXIT_INTERRUPTED = 0, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments; the process's by default.

    Returns:
        The exit code: 0 for success, 2 for what the user can put right (one message on standard error), 130 if
        interrupted; a traceback and 1 mean a fault of this program.
    """
    # TensorFlow's notes on start-up (drivers it looked for, instructions it could use) bury what the user waits for.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Beam warns of optional packages that nothing here needs.
    logging.basicConfig(level=logging.ERROR)
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown and not arguments.takes_beam_options:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    arguments.beam_args = unknown
    try:
        run: Callable[[argparse.Namespace], int] = arguments.run
        return run(arguments)
    except UserError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print(f"{PROG}: interrupted; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG, description="Raw text to TFRecords for BERT-style masked-LM pre-training, and the pre-training."
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_sample_corpus, _add_vocab, _add_corpus):
        add(commands)
    return parser


def _add_command(
    commands: _Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    *,
    takes_beam_options: bool = False,
) -> argparse.ArgumentParser:
    epilog = "Options of Apache Beam's, such as --runner, are passed on as they are." if takes_beam_options else None
    # Without abbreviations: a short form of ours might be an option of Beam's.
    parser = commands.add_parser(name, help=summary, description=summary, epilog=epilog, allow_abbrev=False)
    parser.set_defaults(run=run, takes_beam_options=takes_beam_options)
    return parser


def _add_local_run_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine (default: one for each core)"
    )
    parser.add_argument("--no-progress", action="store_true", help="draw no progress bar")


def _workers(arguments: argparse.Namespace) -> int:
    if arguments.workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if arguments.workers < 1:
        raise ConfigError("--workers must be at least 1", received=arguments.workers)
    return int(arguments.workers)


def _check_beam_args(arguments: argparse.Namespace) -> None:
    from pipeline.beam.runner import check_beam_args

    own = [f"--{name.replace('_', '-')}" for name in vars(arguments)] + list(arguments.flags)
    check_beam_args(arguments.beam_args, own_options=own)


# === sample-corpus ===


def _add_sample_corpus(commands: _Commands) -> None:
    summary = "Extract English prose from the documentation of installed Python packages, to try things out."
    parser = _add_command(commands, "sample-corpus", _run_sample_corpus, summary)
    parser.add_argument("--output", required=True, metavar="TXT", help="file to write")
    parser.add_argument("--no-progress", action="store_true", help="draw no progress bar")


def _run_sample_corpus(arguments: argparse.Namespace) -> int:
    from pipeline.text.sample_corpus import write_sample_corpus

    summary = write_sample_corpus(arguments.output, progress=not arguments.no_progress)
    print(f"{arguments.output}: {summary.documents:,} documents, {summary.bytes / 1e6:.1f} MB")
    return EXIT_OK


# === vocab ===


def _add_vocab(commands: _Commands) -> None:
    from pipeline.beam.config import VocabConfig

    summary = "Learn a WordPiece vocabulary from raw text."
    parser = _add_command(commands, "vocab", _run_vocab, summary, takes_beam_options=True)
    add_flags(parser, VocabConfig)
    _add_local_run_flags(parser)
    _remember_flags(parser)


def _run_vocab(arguments: argparse.Namespace) -> int:
    from pipeline.beam.config import VocabConfig
    from pipeline.beam.vocabulary import make_vocabulary

    config = config_from(arguments, VocabConfig)
    _check_beam_args(arguments)
    report = make_vocabulary(
        config, beam_args=arguments.beam_args, workers=_workers(arguments), show_progress=not arguments.no_progress
    )
    print(report)
    return EXIT_OK


# === corpus ===


def _add_corpus(commands: _Commands) -> None:
    from pipeline.beam.config import CorpusConfig

    summary = "Make TFRecords of training examples from raw text."
    parser = _add_command(commands, "corpus", _run_corpus, summary, takes_beam_options=True)
    add_flags(parser, CorpusConfig)
    _add_local_run_flags(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a finished corpus of other options")
    _remember_flags(parser)


def _run_corpus(arguments: argparse.Namespace) -> int:
    from pipeline.beam.config import CorpusConfig
    from pipeline.beam.corpus import make_corpus

    config = config_from(arguments, CorpusConfig)
    _check_beam_args(arguments)
    manifest = make_corpus(
        config,
        beam_args=arguments.beam_args,
        workers=_workers(arguments),
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


def _remember_flags(parser: argparse.ArgumentParser) -> None:
    """Keeps the names of a command's flags, to suggest them for one that is mistyped."""
    parser.set_defaults(flags=[flag for action in parser._actions for flag in action.option_strings])
