from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from pipeline.beam.running import launch
from pipeline.beam.running.launch import run_units, run_units_left
from pipeline.beam.running.transforms import ForEach
from pipeline.beam.running.work import WorkFolder
from pipeline.beam.running.workers import WORKER_ENDED
from pipeline.errors import CorpusError, InputError
from pipeline.text.reading.plan import Block, Segment

BLOCKS = [Block(i, (Segment("x.txt", i, i + 1, 9, 1),)) for i in range(8)]


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    folder = WorkFolder(str(tmp_path / "work"))
    folder.begin({})
    return folder


@dataclass(frozen=True)
class _Step:
    """Returns what is to be noted of a block, or fails, as the test says."""

    fails: dict[int, str]

    def __call__(self, index: int) -> dict[str, int]:
        if index in self.fails:
            raise InputError(self.fails[index])
        return {"index": index}


OPTIONS: dict[str, Any] = {"beam_args": [], "workers": 1, "description": "test", "show_progress": False}


def run(work: WorkFolder, blocks: list[Block], fails: dict[int, str] | None = None) -> None:
    run_units(work, blocks, _Step(fails or {}), **OPTIONS)


def leave_out(blocks: Container[int], patch: pytest.MonkeyPatch, failure: str | None = None) -> list[list[int]]:
    """Lets the runner leave out blocks and, while it does, fail; returns what it is given, as it is given it."""
    given: list[list[int]] = []

    def run_some(work: WorkFolder, indices: list[int], step: _Step, *_: Any, **__: Any) -> str | None:
        given.append(indices)
        done = [index for index in indices if index not in blocks]
        for index in done:
            work.mark_done(index, step(index))
        return failure if len(done) < len(indices) else None

    patch.setattr(launch, "_run_once", run_some)
    return given


def test_results_and_failures_are_kept_by_block(work: WorkFolder) -> None:
    assert (work.result(3), work.failure(3)) == (None, None)
    work.mark_failed(3, InputError("It was not there"))
    assert (work.result(3), work.failure(3)) == (None, "It was not there.")
    work.mark_done(3, {"shards": [1, 2], "counts": {"ü": 1}})  # A runner tried again.
    assert (work.result(3), work.failure(3)) == ({"shards": [1, 2], "counts": {"ü": 1}}, None)
    assert work.result(30) is None
    work.mark_failed(4, ZeroDivisionError("division by zero"))
    assert work.failure(4) == "ZeroDivisionError: division by zero"


def test_clearing_leaves_nothing(work: WorkFolder) -> None:
    work.mark_done(1, {})
    work.mark_failed(2, InputError("x"))
    work.clear()
    assert not Path(work.path).exists()
    work.clear()


def test_a_run_that_marks_every_block_succeeds(work: WorkFolder) -> None:
    run(work, BLOCKS)
    assert [work.result(block.index) for block in BLOCKS] == [{"index": block.index} for block in BLOCKS]


def test_failed_blocks_are_named_with_their_reasons(work: WorkFolder) -> None:
    with pytest.raises(CorpusError) as caught:
        run(work, BLOCKS, fails={1: "No file", 4: "No space"})
    assert str(caught.value) == (
        "2 of 8 blocks failed: block 1: No file; block 4: No space."
        " Finished work is kept: fix the problem and run the same command again."
    )
    assert work.result(0) == {"index": 0}
    run(work, [BLOCKS[1], BLOCKS[4]])
    assert work.failure(1) is None


def test_of_many_failures_the_first_are_shown(work: WorkFolder) -> None:
    with pytest.raises(CorpusError, match=r"8 of 8 blocks failed: block 0: Bad; .*block 4: Bad; and 3 more\."):
        run(work, BLOCKS, fails=dict.fromkeys(range(8), "Bad"))


def test_blocks_that_a_runner_left_out_are_noticed(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    given = leave_out((2, 3), monkeypatch)
    with pytest.raises(CorpusError, match="2 of 8 blocks failed: the runner: it skipped these blocks"):
        run(work, BLOCKS)
    assert given == [list(range(8))]  # A runner that says that all is well would say so again.


def test_what_an_earlier_run_left_proves_nothing(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    work.mark_done(2, {"index": "old"})
    work.mark_failed(3, InputError("Old"))
    leave_out((2,), monkeypatch)
    with pytest.raises(CorpusError, match="1 of 8 blocks failed: the runner"):
        run(work, BLOCKS)
    assert work.failure(3) is None


def test_a_runner_that_gives_up_is_started_again_with_what_is_left(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = [{1, 4, 6}, {4, 6}, {6}, set()]
    given: list[list[int]] = []

    def run_some(work: WorkFolder, indices: list[int], step: _Step, *_: Any, **__: Any) -> str | None:
        blocks = lost[len(given)]
        given.append(indices)
        for index in indices:
            if index not in blocks:
                work.mark_done(index, step(index))
        return "Lost a worker\n  Killed" if blocks else None

    monkeypatch.setattr(launch, "_run_once", run_some)
    run(work, BLOCKS)
    assert given == [list(range(8)), [1, 4, 6], [4, 6], [6]]
    assert work.results(range(8)) == {index: {"index": index} for index in range(8)}
    assert "The runner failed (Lost a worker); restarting it for 2 blocks" in capsys.readouterr().err


def test_a_runner_that_gets_no_further_is_not_started_again(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    given = leave_out((2, 3), monkeypatch, "Lost a worker")
    with pytest.raises(CorpusError, match="2 of 8 blocks failed: the runner: Lost a worker"):
        run(work, BLOCKS)
    assert given == [list(range(8)), [2, 3]]


def test_a_worker_that_is_killed_before_any_block_is_finished_is_replaced_once(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = leave_out(range(8), monkeypatch, f"RuntimeError: {WORKER_ENDED}")
    with pytest.raises(CorpusError, match="8 of 8 blocks failed: the runner: RuntimeError: A worker process ended"):
        run(work, BLOCKS)
    assert given == [list(range(8)), list(range(8))]
    assert "restarting it for 8 blocks" in capsys.readouterr().err


def test_a_block_that_is_done_is_not_redone(work: WorkFolder) -> None:
    work.mark_done(2, {"index": "kept"})
    run_units_left(work, BLOCKS, _Step({}), **OPTIONS)
    assert work.result(2) == {"index": "kept"}
    assert work.result(3) == {"index": 3}
    with beam.Pipeline(runner="FnApiRunner") as root:  # As a runner does that has lost the worker which did them.
        root | ForEach(work, [2, 3], _Step({3: "Done twice"}))
    assert (work.result(2), work.failure(3)) == ({"index": "kept"}, None)


def test_a_runner_that_fails_is_told_once_not_by_block(work: WorkFolder) -> None:
    with pytest.raises(CorpusError) as caught:
        run_units(work, BLOCKS, _Step({}), **OPTIONS | {"beam_args": ["--runner=no.such.Runner"]})
    assert str(caught.value).startswith("8 of 8 blocks failed: the runner: ")
    assert str(caught.value).count("No module named 'no'") == 1


def test_a_runner_that_fails_behind_the_last_block_is_told(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_all(work: WorkFolder, indices: list[int], step: _Step, *_: Any, **__: Any) -> str:
        for index in indices:
            work.mark_done(index, step(index))
        return "RuntimeError: late"

    monkeypatch.setattr(launch, "_run_once", run_all)
    run(work, BLOCKS)
    assert len(work.results([block.index for block in BLOCKS])) == len(BLOCKS)
    assert "The runner failed (RuntimeError: late), but every block is finished: going on" in capsys.readouterr().err
