"""Runs units of work in a pipeline, restarts it as long as it makes progress, and reports the units that fail."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import IO, Any

from pipeline import files
from pipeline.beam.running import progress, runner
from pipeline.beam.running.work import RunIsOver, Unit, WorkerFault, WorkFolder
from pipeline.beam.running.workers import WORKER_ENDED
from pipeline.errors import CorpusError
from pipeline.quiet import native_stderr_to

_MOST_SHOWN = 5  # Maximum number of failed blocks in a message.
_MOST_RETRIES = 5


def run_units_left(work: WorkFolder, units: Sequence[Unit], step: Callable[[int], Any], **options: Any) -> None:
    """Runs a step for the unfinished units, where the sidecars alone show which are finished.

    Args:
        work: the folder for the units' sidecars.
        units: the units.
        step: see `ForEach`.
        options: see `run_units`.
    """
    finished = work.results([unit.index for unit in units])
    pending = [unit for unit in units if unit.index not in finished]
    if pending:
        run_units(work, pending, step, **options)


def run_units(
    work: WorkFolder,
    units: Sequence[Unit],
    step: Callable[[int], Any],
    *,
    beam_args: Sequence[str],
    workers: int,
    description: str,
    show_progress: bool,
) -> None:
    """Runs a step for units, and checks that each leaves its sidecar.

    If the runner fails, for example because a worker was killed, it is started again with the remaining units as long
    as each attempt makes progress, and once if a worker was killed before any unit was finished. If it fails when all
    units are finished, that is printed, and changes nothing.

    Args:
        work: the folder for the units' sidecars.
        units: the units.
        step: see `ForEach`.
        beam_args: Beam's own options.
        workers: maximum number of processes on this machine.
        description: the label of the progress bar.
        show_progress: whether to draw it.

    Raises:
        CorpusError: with the units that failed, and the reasons.
        WorkerFault: likewise, if the user cannot fix the problem.
    """
    # Files left by an earlier run say nothing about this one.
    ours = {name for unit in units for name in (work.done_name(unit.index), work.failed_name(unit.index))}
    for name in ours.intersection(files.list_names(work.path)):
        files.remove(files.join(work.path, name))
    sizes = {work.done_name(unit.index): unit.bytes for unit in units}
    left = [unit.index for unit in units]
    with (
        tempfile.TemporaryFile() as log,
        native_stderr_to(log),
        progress.watch_folder(
            work.path, sizes, unit="B", kind=work.kind, description=description, enabled=show_progress
        ),
    ):
        for retries in itertools.count():
            before = len(left)
            failure = _run_once(work, left, step, beam_args, workers, label=description.capitalize())
            failure = _with_last_lines(failure, log) if failure else None
            present = set(files.list_names(work.path))
            left = [index for index in left if work.done_name(index) not in present]
            noted = [index for index in left if work.failed_name(index) in present]
            hopeful = len(left) < before or (not retries and WORKER_ENDED in (failure or ""))
            if not (failure and left and hopeful and not noted and retries < _MOST_RETRIES):
                break
            rest = f"{len(left):,} {work.kind}{'s' * (len(left) > 1)}"
            _say(f"The runner failed ({failure.splitlines()[0]}); restarting it for {rest}")
    if left:
        _check_folder_is_ours(work)
        failed = f"{len(left):,} of {len(units):,} {work.kind}s failed: {_reasons(work, noted, failure)}"
        fault = work.fault(noted)
        if fault:
            raise WorkerFault(f"{failed}\n\nIn a worker:\n{fault}")
        raise CorpusError(
            failed,
            do="Finished work is kept: fix the problem and run the same command again",
        )
    if failure:  # For example, Flink's JobManager was lost while its workers went on.
        _say(f"The runner failed ({failure.splitlines()[0]}), but every {work.kind} is finished: going on")


def _check_folder_is_ours(work: WorkFolder) -> None:
    """Raises an error if the workers stopped because another run has begun in the folder."""
    try:
        work.check_run()
    except RunIsOver as error:
        raise CorpusError(
            f"Another run has started in {work.path}",
            do="Let one of them finish, and use a different output for the other",
        ) from error


def _run_once(
    work: WorkFolder,
    indices: Sequence[int],
    step: Callable[[int], Any],
    beam_args: Sequence[str],
    workers: int,
    label: str,
) -> str | None:
    """Runs the pipeline once; returns the reason if the runner failed."""
    from pipeline.beam.running.transforms import ForEach  # Beam takes a second to import.

    each = ForEach(work, indices, step)
    try:
        return runner.run(lambda root: root | label >> each, beam_args=beam_args, units=len(indices), workers=workers)
    finally:
        if runner.workers_end_with_the_run(beam_args):  # Left in the middle of a unit, if the run failed.
            files.remove_temporary(work.path)


def _reasons(work: WorkFolder, noted: Sequence[int], failure: str | None) -> str:
    """Explains why blocks are missing: their first failure notes, then the runner's own reason."""
    reasons = [f"{work.kind} {index}: {str(work.failure(index)).rstrip('.')}" for index in noted[:_MOST_SHOWN]]
    if len(noted) > _MOST_SHOWN:
        reasons.append(f"and {len(noted) - _MOST_SHOWN:,} more")
    if failure or not noted:
        reasons.append(f"the runner: {failure or f'it skipped these {work.kind}s'}")
    return "; ".join(reasons)


def _with_last_lines(failure: str, log: IO[bytes]) -> str:
    """Appends the last lines that the workers wrote: a killed worker cannot report the failure itself."""
    log.seek(0, 2)
    log.seek(max(0, log.tell() - 2000))
    lines = log.read().decode(errors="replace").splitlines()[-5:]
    return "\n  ".join([failure, *lines])


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
