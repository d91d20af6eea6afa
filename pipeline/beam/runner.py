"""Running a pipeline: on this machine by default, on any of Beam's runners by Beam's own options."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.errors import ConfigError


def check_beam_args(beam_args: Sequence[str], *, own_options: Sequence[str] = ()) -> None:
    """Refuses options that Beam does not know: Beam itself would pass over them in silence.

    Args:
        beam_args: what is to be handed to Beam.
        own_options: the command's own options, to suggest what was meant.

    Raises:
        ConfigError: naming the first unknown option.
    """
    if not beam_args:
        return
    import argparse

    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for kind in _subclasses(PipelineOptions):
        kind._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(beam_args))
    if unknown:
        name = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(name, own_options, n=1, cutoff=0.6)
        raise ConfigError(
            "Neither this command nor Beam has such an option",
            received=name,
            do=f"Did you mean {near[0]}?" if near else "See --help",
        )


def _subclasses(kind: Any) -> list[Any]:
    found: list[Any] = []
    for direct in kind.__subclasses__():
        found += [direct, *_subclasses(direct)]
    return found


def run(build: Callable[[Any], Any], *, beam_args: Sequence[str], workers: int) -> str | None:
    """Runs the pipeline that `build` makes.

    Args:
        build: applied to the pipeline's root.
        beam_args: Beam's own options. Without `--runner`, Beam's FnApiRunner runs the pipeline on this machine.
        workers: processes on this machine, where that runner is used.

    Returns:
        None, or the reason for which the runner failed, in a line.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    arguments = list(beam_args)
    if not any(argument.split("=")[0] == "--runner" for argument in arguments):
        # Named outright: Beam's DirectRunner would first try to download another runner.
        arguments += ["--runner=FnApiRunner"]
        if workers > 1:
            arguments += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    try:
        with beam.Pipeline(options=PipelineOptions(arguments)) as root:
            build(root)
    except Exception as error:  # Runners raise all kinds of errors, many of them plain RuntimeErrors.
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[-1].strip()[:500]}" if lines else type(error).__name__
    return None
