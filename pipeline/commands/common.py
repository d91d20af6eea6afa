"""Flags and functions that the verbs share."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

from pipeline.errors import ConfigError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_MOST_WORKERS = 1024
EXIT_OK, EXIT_FAILED, EXIT_USER_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 130


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    *,
    takes_beam_options: bool = False,
) -> argparse.ArgumentParser:
    """Adds a verb.

    Args:
        commands: the subcommands to add it to.
        name: the verb.
        run: runs the verb and returns the exit code.
        summary: a sentence for `--help`.
        takes_beam_options: whether to pass options that the verb does not know to Beam.
    """
    epilog = "Apache Beam's options, such as --runner, are passed on unchanged." if takes_beam_options else None
    # Without abbreviations: an abbreviated flag of ours might be an option of Beam.
    parser = commands.add_parser(name, help=summary, description=summary, epilog=epilog, allow_abbrev=False)
    parser.set_defaults(run=run, takes_beam_options=takes_beam_options, parser=parser)
    return parser


def add_progress_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--no-progress`."""
    parser.add_argument("--no-progress", action="store_true", help="do not show a progress bar")


def add_overwrite_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--overwrite`, for a verb that writes one file."""
    parser.add_argument("--overwrite", action="store_true", help="overwrite a file that this command has not written")


def add_model_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--run`, which names a trained model."""
    parser.add_argument(
        "--run",
        required=True,
        metavar="DIR",
        dest="run_dir",
        help="directory of a finished run, a checkpoint of any run (DIR/checkpoints/step-N), the directory of a model"
        " in another project's format, or a model of the Hugging Face hub, owner/name (docs/import-export.md)",
    )


def add_job_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of every Beam job: `--workers` and `--no-progress`."""
    parser.add_argument(
        "--workers", type=int, metavar="N", help="number of processes on this machine (default: one per core)"
    )
    add_progress_flag(parser)


class _Printer(logging.Handler):
    """Prints messages on the current standard output, even if it is redirected later."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)  # A log that is followed shows them as they come.


@contextlib.contextmanager
def printed_messages() -> Iterator[None]:
    """Prints the log messages of training while the body runs; as a library, training only logs them."""
    training, printer = logging.getLogger("pipeline.training"), _Printer()
    level, propagate = training.level, training.propagate
    training.addHandler(printer)
    training.setLevel(logging.INFO)
    training.propagate = False  # Other handlers would print them again, on standard error.
    try:
        yield
    finally:
        training.removeHandler(printer)
        training.setLevel(level)
        training.propagate = propagate


def workers(arguments: argparse.Namespace) -> int:
    """Returns the number of processes: `--workers`, or one for each core that this process may use.

    Raises:
        ConfigError: if `--workers` is out of range.
    """
    if arguments.workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not 1 <= arguments.workers <= _MOST_WORKERS:
        raise ConfigError(f"--workers must be between 1 and {_MOST_WORKERS}", received=arguments.workers)
    return int(arguments.workers)


def check_beam_args(arguments: argparse.Namespace) -> None:
    """Rejects options that neither the verb nor Beam knows.

    Raises:
        ConfigError: naming the first one, and the option that may have been meant.
    """
    from pipeline.beam.running.runner import check_beam_args as check

    check(arguments.beam_args, own_options=[flag for a in arguments.parser._actions for flag in a.option_strings])
