"""Runs a pipeline on this machine, or on any of Beam's runners, as chosen by Beam's own options."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pipeline import files
from pipeline.beam.running.dask import DASK_RUNNER, dask_arguments
from pipeline.beam.running.job_server import add_job_server_options, job_server_options
from pipeline.beam.running.worker_pools import shared_pool_warning
from pipeline.beam.running.workers import watch_local_workers
from pipeline.config.flags import values_given
from pipeline.errors import ConfigError
from pipeline.interrupts import interrupts

_LOCAL_RUNNER = "FnApiRunner"


def check_beam_args(beam_args: Sequence[str], *, own_options: Sequence[str] = ()) -> None:
    """Refuses options that Beam does not know, which Beam itself would silently ignore.

    If Beam's Python does not know an option, and the runner uses a job server, such as Flink's, the server is asked for
    the options that it defines itself. Beam passes those on. Warns if task managers would share a worker pool.

    Args:
        beam_args: the options to pass to Beam.
        own_options: the command's own options, for suggestions.

    Raises:
        ConfigError: for the first unknown option, an option given twice, an invalid value, an unknown runner, or a job
            server that must be asked and does not respond.
    """
    if not beam_args:
        return
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.portable_runner import PortableRunner
    from apache_beam.runners.runner import create_runner

    runner = _chosen_runner(beam_args)
    unusable = None
    has_job_server = False
    if runner:
        try:
            # Imports the runner, which registers its options.
            has_job_server = isinstance(create_runner(runner), PortableRunner)
        except (ValueError, ImportError, AttributeError) as error:
            unusable = error
    parser = _QuietParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for kind in _subclasses(PipelineOptions):
        kind._add_argparse_args(parser)
    known, unknown = parser.parse_known_args(list(beam_args))
    hint = "See --help"
    if unknown and has_job_server:
        if known.job_endpoint and known.job_endpoint != "embed":
            hint = "See --help, and the documentation of the runner"
            add_job_server_options(parser, job_server_options(known.job_endpoint, unknown=unknown[0].partition("=")[0]))
            _, unknown = parser.parse_known_args(list(beam_args))
        else:
            hint = "See --help. An option that only the runner's job server defines needs --job_endpoint"
    for name, values in values_given(parser, beam_args).items():
        if len(set(values)) > 1:
            raise ConfigError(
                "A Beam option was given twice with different values, and Beam would ignore the first",
                received=f"{name} with {values[0]} and {values[-1]}",
                do="Give it once",
            )
    if unknown and not unusable:
        name = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(name, [*own_options, *parser._option_string_actions], n=1, cutoff=0.7)
        raise ConfigError(
            "Unknown option: neither this command nor Beam has it",
            received=name,
            do=f"Did you mean {near[0]}?" if near else hint,
        )
    if unusable:
        raise ConfigError(
            "--runner must be the name of a Beam runner",
            received=runner,
            do="Install the extra for it: pip install '.[dask]'" if runner == DASK_RUNNER else str(unusable),
        ) from unusable
    if has_job_server and (warning := shared_pool_warning(vars(known))):
        _say(f"Warning: {warning}")


def _chosen_runner(beam_args: Sequence[str]) -> str | None:
    """Returns the runner chosen by Beam's options, by the name that Beam accepts; None if they choose none."""
    parser = _QuietParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner")
    runner: str | None = parser.parse_known_args(list(beam_args))[0].runner
    # Beam has short names for all of its runners but this one.
    return DASK_RUNNER if (runner or "").lower() in ("dask", "daskrunner") else runner


def check_paths(beam_args: Sequence[str], paths: Sequence[str]) -> None:
    """Refuses local paths if the workers run on other machines.

    Args:
        beam_args: Beam's own options.
        paths: the paths that workers read or write.

    Raises:
        ConfigError: for the first path that they cannot reach. Never raised if a cluster might share a file system with
            this machine.
    """
    if "dataflow" not in (_chosen_runner(beam_args) or "").lower():
        return
    for path in paths:
        if not files.is_remote(path):
            raise ConfigError(
                "Dataflow's workers can only read and write object stores",
                received=path,
                do="Copy the input to gs://, and set --output to a directory there",
            )


def workers_end_with_the_run(beam_args: Sequence[str]) -> bool:
    """Returns whether all workers have ended when `run` returns, even after a failure."""
    return _chosen_runner(beam_args) in (None, _LOCAL_RUNNER)


class _QuietParser(argparse.ArgumentParser):
    """Raises errors, which the base class would print after the usage of all of Beam's options."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError("One of Beam's options has an invalid value", received=message)


def _subclasses(kind: Any) -> list[Any]:
    found: list[Any] = []
    for direct in kind.__subclasses__():
        found += [direct, *_subclasses(direct)]
    return found


def run(build: Callable[[Any], Any], *, beam_args: Sequence[str], units: int, workers: int) -> str | None:
    """Builds and runs a pipeline.

    Args:
        build: applied to the pipeline's root.
        beam_args: Beam's own options. Without `--runner`, Beam's FnApiRunner runs the pipeline on this machine.
        units: number of units of work at the start of the pipeline.
        workers: number of processes, if the runner starts its workers on this machine.

    Returns:
        None, or, if the runner failed, the reason in one line.

    Raises:
        KeyboardInterrupt: on SIGINT or SIGTERM; a job on a cluster is then cancelled.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    runner = _chosen_runner(beam_args) or _LOCAL_RUNNER
    workers = min(workers, units)
    with interrupts() as interrupted, contextlib.ExitStack() as stack:
        try:
            arguments: list[str] = []
            if runner == _LOCAL_RUNNER and workers > 1:
                arguments = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
                watch_local_workers()
            elif runner == DASK_RUNNER:
                arguments = stack.enter_context(dask_arguments(beam_args, units=units, workers=workers))
            # The user's options come last, so that they take precedence. The local runner is named explicitly: Beam's
            # DirectRunner would first try to download another one.
            options = PipelineOptions([*arguments, *beam_args, f"--runner={runner}"])
            pipeline = beam.Pipeline(options=options)
            try:
                with pipeline as root:
                    build(root)
            except KeyboardInterrupt:
                if getattr(pipeline, "result", None) is not None:  # The job has started, on a cluster.
                    _cancel(pipeline.result)
                elif runner not in (_LOCAL_RUNNER, DASK_RUNNER):
                    _say(
                        "Interrupted while the job was being submitted: it may have started. Look for it with the"
                        " runner's own tools, and cancel it there. Anything it still writes does no harm."
                    )
                raise
        except Exception as error:  # Runners raise errors of all types, often plain RuntimeErrors.
            if interrupted.is_set():
                raise KeyboardInterrupt from error
            return reason_of(error)
        if interrupted.is_set():  # Beam treats an interrupt of its main thread as a failure of the work.
            raise KeyboardInterrupt
    return None


def _cancel(result: Any) -> None:
    """Cancels a job, or reports that it may still be running."""
    try:
        result.cancel()
    except Exception as error:  # The runner cannot cancel, or its cluster does not respond.
        job = getattr(result, "_job_id", None) or getattr(getattr(result, "_job", None), "id", None)
        _say(
            f"The job{f' {job}' if job else ''} could not be cancelled ({reason_of(error)}). It may still be running:"
            " cancel it with the runner's own tools. Anything it still writes does no harm."
        )


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


# "Caused by: java.lang.IllegalStateException: ...", "apache_beam.x.SomeError: ...", "MemoryError"; Dataflow's wording.
_CAUSE = re.compile(
    r"(?:Caused by: |: )?(?:[\w$]+\.)*[\w$]*(?:Error|Exception|Failure|Interrupt)(?:\b[^:]*: \S.*|$)"
    r"|Workflow failed\. Causes: .*"
)
# The details of gRPC errors, and of Google's REST errors, which contain JSON.
_DETAILS = re.compile(r'(?:details = |"message": )"(.+)"')


def reason_of(error: BaseException) -> str:
    """Returns the reason for an error in one line: of a longer message, the line with the innermost cause."""
    lines = [line.strip() for line in str(error).splitlines() if re.search(r"\w", line)]
    if not lines:
        return type(error).__name__
    details = [match[1] for line in lines if (match := _DETAILS.match(line))]
    causes = [line for line in lines if _CAUSE.match(line)]
    reason = (details or causes or lines[:1])[-1][:500].removeprefix(": ")
    return reason if causes and not details else f"{type(error).__name__}: {reason}"
