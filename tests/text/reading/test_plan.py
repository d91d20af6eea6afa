from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.reading.plan import Block, InputFile, Segment, default_block_bytes, plan_blocks


@given(st.lists(st.integers(0, 10_000), max_size=30), st.integers(1, 3_000))
def test_the_plan_covers_every_byte_once_in_order(sizes: list[int], block_bytes: int) -> None:
    inputs = [InputFile(f"{i:02d}", size) for i, size in enumerate(sizes)]
    blocks = plan_blocks(inputs, block_bytes)
    segments = [segment for block in blocks for segment in block.segments]
    for info in inputs:
        cuts = [(s.start, s.end) for s in segments if s.path == info.path]
        assert [end for _, end in cuts[:-1]] == [start for start, _ in cuts[1:]]
        assert (cuts[0][0], cuts[-1][1]) == (0, info.bytes) if info.bytes else not cuts
        assert all(s.file_bytes == info.bytes for s in segments if s.path == info.path)
    assert [s.path for s in segments] == sorted(s.path for s in segments)
    assert [block.index for block in blocks] == list(range(len(blocks)))
    assert all(0 < block.bytes <= block_bytes for block in blocks)
    # Small files share a block as long as they fit.
    small = [all(s.end - s.start == s.file_bytes for s in block.segments) for block in blocks]
    for (a, a_small), (b, b_small) in pairwise(zip(blocks, small, strict=True)):
        assert not (a_small and b_small) or a.bytes + b.segments[0].file_bytes > block_bytes
    assert blocks == plan_blocks(inputs, block_bytes)


def test_small_files_share_a_block_and_large_ones_are_cut_evenly() -> None:
    inputs = [InputFile("a", 30), InputFile("b", 0), InputFile("c", 60), InputFile("d", 20), InputFile("e", 250)]
    assert plan_blocks(inputs, 100) == [
        Block(0, (Segment("a", 0, 30, 30, 30), Segment("c", 0, 60, 60, 60))),
        Block(1, (Segment("d", 0, 20, 20, 20),)),
        Block(2, (Segment("e", 0, 83, 250, 83),)),
        Block(3, (Segment("e", 83, 166, 250, 83),)),
        Block(4, (Segment("e", 166, 250, 250, 84),)),
    ]


def test_no_input_is_no_block() -> None:
    assert plan_blocks([], 100) == []
    assert plan_blocks([InputFile("a", 0)], 100) == []


@pytest.mark.parametrize(
    ("total", "block"),
    [(0, 4 << 20), (1 << 28, 4 << 20), (1 << 30, 16 << 20), (1 << 40, 32 << 20), (10**13, 2 * 10**8)],
)
def test_default_block_size(total: int, block: int) -> None:
    assert default_block_bytes(total) == block


def test_a_compressed_file_is_one_segment_of_about_four_times_its_bytes() -> None:
    inputs = [InputFile("a.gz", 10, "lines", "gzip"), InputFile("b", 50), InputFile("c.gz", 90, "jsonl", "gzip")]
    assert plan_blocks([*inputs, InputFile("d", 40)], 100) == [
        Block(0, (Segment("a.gz", 0, 10, 10, 40, "lines", "gzip"), Segment("b", 0, 50, 50, 50))),
        Block(1, (Segment("c.gz", 0, 90, 90, 360, "jsonl", "gzip"),)),
        Block(2, (Segment("d", 0, 40, 40, 40),)),
    ]


def test_parquet_is_cut_between_row_groups() -> None:
    def segment(start: int, end: int, text_bytes: int) -> Segment:
        return Segment("a", start, end, 999, text_bytes, "parquet")

    small, large, none = (
        InputFile("a", 999, "parquet", pieces=sizes) for sizes in ((30, 20), (60, 30, 20, 300, 0, 10), ())
    )
    assert plan_blocks([small, none, InputFile("b", 50)], 100) == [
        Block(0, (segment(0, 2, 50), Segment("b", 0, 50, 50, 50)))
    ]
    assert plan_blocks([large], 100) == [
        Block(0, (segment(0, 2, 90),)),
        Block(1, (segment(2, 3, 20),)),
        Block(2, (segment(3, 4, 300),)),
        Block(3, (segment(4, 6, 10),)),
    ]
