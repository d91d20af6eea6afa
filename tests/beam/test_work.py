from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from pipeline.beam.work import WorkFolder
from pipeline.errors import CorpusError, InputError
from pipeline.text.plan import Block, Segment

BLOCKS = [Block(i, (Segment("x.txt", i, i + 1, 9, 1),)) for i in range(8)]


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    folder = WorkFolder(str(tmp_path / "work"))
    folder.make()
    return folder


class _Mark(beam.DoFn):
    """Marks each block as done, or as the test says."""

    def __init__(self, work: WorkFolder, fails: dict[int, str], silent: tuple[int, ...] = ()) -> None:
        super().__init__()
        self._work, self._fails, self._silent = work, fails, silent

    def process(self, block: Block) -> list[int]:
        if block.index in self._fails:
            self._work.mark_failed(block.index, InputError(self._fails[block.index]))
        elif block.index not in self._silent:
            self._work.mark_done(block.index, {"index": block.index})
        return []


def run(work: WorkFolder, blocks: list[Block], **marks: Any) -> None:
    fails = marks.pop("fails", {})
    work.run(
        blocks,
        lambda root: root | beam.Create(blocks) | beam.ParDo(_Mark(work, fails, **marks)),
        beam_args=[],
        workers=1,
        description="test",
        show_progress=False,
    )


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
        " What is finished is kept: put it right and run the same command again."
    )
    assert work.result(0) == {"index": 0}
    run(work, [BLOCKS[1], BLOCKS[4]])
    assert work.failure(1) is None


def test_of_many_failures_the_first_are_shown(work: WorkFolder) -> None:
    with pytest.raises(CorpusError, match=r"8 of 8 blocks failed: block 0: Bad; .*block 4: Bad; and 3 more\."):
        run(work, BLOCKS, fails=dict.fromkeys(range(8), "Bad"))


def test_blocks_that_a_runner_left_out_are_noticed(work: WorkFolder) -> None:
    with pytest.raises(CorpusError, match="2 of 8 blocks failed: the runner: it left these blocks out"):
        run(work, BLOCKS, silent=(2, 3))


def test_what_an_earlier_run_left_proves_nothing(work: WorkFolder) -> None:
    work.mark_done(2, {"index": "old"})
    work.mark_failed(3, InputError("Old"))
    with pytest.raises(CorpusError, match="1 of 8 blocks failed: the runner"):
        run(work, BLOCKS, silent=(2,))
    assert work.failure(3) is None


def test_a_runner_that_fails_is_told_once_not_by_block(work: WorkFolder) -> None:
    def build(root: Any) -> None:
        raise RuntimeError("no such\nrunner here")

    with pytest.raises(CorpusError) as caught:
        work.run(BLOCKS, build, beam_args=[], workers=1, description="test", show_progress=False)
    assert str(caught.value).startswith("8 of 8 blocks failed: the runner: RuntimeError: runner here")
    assert str(caught.value).count("runner here") == 1


def test_a_runner_that_fails_behind_the_last_block_is_told(work: WorkFolder) -> None:
    def build(root: Any) -> None:
        for block in BLOCKS:
            work.mark_done(block.index, {})
        raise RuntimeError("late")

    with pytest.raises(CorpusError, match="The runner failed behind the last block: RuntimeError: late"):
        work.run(BLOCKS, build, beam_args=[], workers=1, description="test", show_progress=False)
