"""Running a pipeline: on this machine by default, on any of Beam's runners by Beam's own options."""

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
from pipeline.beam.running.workers import watch_local_workers
from pipeline.config.flags import values_given
from pipeline.errors import ConfigError
from pipeline.interrupts import interrupts

_LOCAL_RUNNER = "FnApiRunner"


def check_beam_args(beam_args: Sequence[str], *, own_options: Sequence[str] = ()) -> None:
    """Refuses options that Beam does not know: Beam itself would ignore them silently.

    Args:
        beam_args: what is to be handed to Beam.
        own_options: the command's own options, to suggest what was meant.

    Raises:
        ConfigError: naming the first unknown option, one that is given twice, a wrong value or an unknown runner.
    """
    if not beam_args:
        return
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import create_runner

    runner = _chosen_runner(beam_args)
    unusable = None
    if runner:
        try:
            create_runner(runner)  # Beam knows a runner's own options once it is imported.
        except (ValueError, ImportError, AttributeError) as error:
            unusable = error
    parser = _QuietParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for kind in _subclasses(PipelineOptions):
        kind._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(beam_args))
    for name, values in values_given(parser, beam_args).items():
        if len(set(values)) > 1:
            raise ConfigError(
                "One of Beam's options is given twice, and Beam would pass over the first",
                received=f"{name} with {values[0]} and {values[-1]}",
                do="Give it once",
            )
    if unknown and not unusable:
        name = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(name, [*own_options, *parser._option_string_actions], n=1, cutoff=0.7)
        raise ConfigError(
            "Neither this command nor Beam has such an option",
            received=name,
            do=f"Did you mean {near[0]}?" if near else "See --help",
        )
    if unusable:
        raise ConfigError(
            "--runner must name a runner that Beam has",
            received=runner,
            do="Install the extra for it: pip install '.[dask]'" if runner == DASK_RUNNER else str(unusable),
        ) from unusable


def _chosen_runner(beam_args: Sequence[str]) -> str | None:
    """The runner that Beam's options name, as Beam knows it; None if they name none."""
    parser = _QuietParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner")
    runner: str | None = parser.parse_known_args(list(beam_args))[0].runner
    # Beam has short names for all of its runners but this one.
    return DASK_RUNNER if (runner or "").lower() in ("dask", "daskrunner") else runner


def check_paths(beam_args: Sequence[str], paths: Sequence[str]) -> None:
    """Refuses paths on this machine where the workers are on others.

    Args:
        beam_args: Beam's own options.
        paths: what the workers are to read or to write.

    Raises:
        ConfigError: naming the first path that they cannot reach. Where a cluster may share a file system with this
            machine, none is refused.
    """
    if "dataflow" not in (_chosen_runner(beam_args) or "").lower():
        return
    for path in paths:
        if not files.is_remote(path):
            raise ConfigError(
                "Dataflow's workers read and write object stores alone",
                received=path,
                do="Copy the input to gs://, and let --output be a directory there",
            )


def workers_end_with_the_run(beam_args: Sequence[str]) -> bool:
    """Whether no worker is left at work when `run` returns, however it went."""
    return _chosen_runner(beam_args) in (None, _LOCAL_RUNNER)


class _QuietParser(argparse.ArgumentParser):
    """Raises what the base class would print after the usage of all of Beam's options."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError("One of Beam's options has a value that it cannot have", received=message)


def _subclasses(kind: Any) -> list[Any]:
    found: list[Any] = []
    for direct in kind.__subclasses__():
        found += [direct, *_subclasses(direct)]
    return found


def run(build: Callable[[Any], Any], *, beam_args: Sequence[str], units: int, workers: int) -> str | None:
    """Runs the pipeline that `build` makes.

    Args:
        build: applied to the pipeline's root.
        beam_args: Beam's own options. Without `--runner`, Beam's FnApiRunner runs the pipeline on this machine.
        units: how many units of work the pipeline begins with.
        workers: processes on this machine, where the runner starts its workers here.

    Returns:
        None, or the reason for which the runner failed, in a line.

    Raises:
        KeyboardInterrupt: if SIGINT or SIGTERM came; a job on a cluster is then cancelled.
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
            # The user's after ours, so that they stand. The runner is named outright: Beam's DirectRunner would first
            # try to download another one.
            options = PipelineOptions([*arguments, *beam_args, f"--runner={runner}"])
            pipeline = beam.Pipeline(options=options)
            try:
                with pipeline as root:
                    build(root)
            except KeyboardInterrupt:
                if getattr(pipeline, "result", None) is not None:  # It was begun, on a cluster.
                    _cancel(pipeline.result)
                elif runner not in (_LOCAL_RUNNER, DASK_RUNNER):
                    _say(
                        "Interrupted while the job was being submitted: it may have begun. Look for it with the"
                        " runner's own tools, and cancel it there. What it still writes does no harm."
                    )
                raise
        except Exception as error:  # Runners raise all kinds of errors, many of them plain RuntimeErrors.
            if interrupted.is_set():
                raise KeyboardInterrupt from error
            return reason_of(error)
        if interrupted.is_set():  # Beam takes what its main thread was interrupted by for a failure of the work.
            raise KeyboardInterrupt
    return None


def _cancel(result: Any) -> None:
    """Cancels a job, or says that it runs on."""
    try:
        result.cancel()
    except Exception as error:  # A runner that knows no such thing, or whose cluster does not answer.
        job = getattr(result, "_job_id", None) or getattr(getattr(result, "_job", None), "id", None)
        _say(
            f"The job{f' {job}' if job else ''} could not be cancelled ({reason_of(error)}). It"
            " may run on: cancel it with the runner's own tools. What it still writes does no harm."
        )


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


# "Caused by: java.lang.IllegalStateException: ...", "apache_beam.x.SomeError: ...", "MemoryError"; Dataflow's words.
_CAUSE = re.compile(
    r"(?:Caused by: |: )?(?:[\w$]+\.)*[\w$]*(?:Error|Exception|Failure|Interrupt)(?:\b[^:]*: \S.*|$)"
    r"|Workflow failed\. Causes: .*"
)
# Of gRPC's errors, and of Google's REST interfaces, whose errors hold JSON.
_DETAILS = re.compile(r'(?:details = |"message": )"(.+)"')


def reason_of(error: BaseException) -> str:
    """What went wrong, in a line: where a runner's message has many, the one that names the innermost cause."""
    lines = [line.strip() for line in str(error).splitlines() if re.search(r"\w", line)]
    if not lines:
        return type(error).__name__
    details = [match[1] for line in lines if (match := _DETAILS.match(line))]
    causes = [line for line in lines if _CAUSE.match(line)]
    reason = (details or causes or lines[:1])[-1][:500].removeprefix(": ")
    return reason if causes and not details else f"{type(error).__name__}: {reason}"
