"""The PTransform of every job: a step for each unit of work, which leaves its results in files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam

from pipeline.beam.running.work import RunIsOver, WorkFolder


class ForEach(beam.PTransform):
    """Does a step for units of work: root -> 1 for each that succeeded, else 0.

    Its shape, Create -> Map that writes files, is the one that every runner gets right, and needs no shuffle. A unit
    that fails leaves a note and lets the others go on; the launcher reports it when all have run.

    Args:
        work: where a unit is marked as done, or its failure noted.
        indices: the units' numbers.
        step: what to do for a unit, given its number, fit for pickling; its result, plain values, goes with the mark.
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
        if not work.is_done(index):  # A runner tries again what was done by a worker that it has lost since.
            work.check_run()
            work.mark_done(index, step(index))
    except RunIsOver:  # Another run is at work in the folder by now, and this one's notes are of no use to it.
        return 0
    except Exception as error:
        with contextlib.suppress(RunIsOver):
            work.mark_failed(index, error)
        return 0
    beam.metrics.Metrics.counter(work.kind, "done").inc()
    return 1
