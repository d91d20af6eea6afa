"""The PTransform of every job: runs a step for each unit of work, which leaves its results in files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam

from pipeline.beam.running.work import RunIsOver, WorkFolder


class ForEach(beam.PTransform):
    """Runs a step for each unit of work: root -> 1 for each that succeeded, else 0.

    Its shape, a Create and a Map that writes files, works on every runner and needs no shuffle. A unit that fails
    leaves a note and does not stop the others; the launcher reports it when all have run.

    Args:
        work: the folder in which a unit is marked as done or failed.
        indices: the units' numbers.
        step: function of a unit's number, which can be pickled; its result, plain values, is stored with the mark.
    """

    def __init__(self, work: WorkFolder, indices: Sequence[int], step: Callable[[int], Any]) -> None:
        super().__init__()
        self._work = work
        self._indices = indices
        self._step = step

    def expand(self, root: Any) -> Any:
        return root | "Plan" >> beam.Create(self._indices) | "Step" >> beam.Map(_do, work=self._work, step=self._step)


def _do(index: int, work: WorkFolder, step: Callable[[int], Any]) -> int:
    try:
        if not work.is_done(index):  # A runner repeats the work of workers that it has lost.
            work.check_run()
            work.mark_done(index, step(index))
    except RunIsOver:  # Another run uses the folder now, and has no use for this run's notes.
        return 0
    except Exception as error:
        with contextlib.suppress(RunIsOver):
            work.mark_failed(index, error)
        return 0
    beam.metrics.Metrics.counter(work.kind, "done").inc()
    return 1
