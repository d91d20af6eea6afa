from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instances.instances import Instances
from pipeline.instances.rows import Rows, default_max_sequences, pack

SPECIAL_TOKENS, ROW = 3, 64
LENGTHS = st.lists(st.integers(2, ROW - SPECIAL_TOKENS), max_size=80)


def instances_of(lengths: list[int], first: int = 0) -> Instances:
    """Instances that are known by where A begins."""
    total = np.array(lengths, np.int64)
    a_length = total // 2
    return Instances(first + np.arange(len(total)), a_length, np.zeros_like(total), total - a_length, total % 2)


def packed(copies: list[Instances], max_sequences: int = ROW, seed: int = 0) -> Rows:
    return pack(
        copies,
        special_tokens=SPECIAL_TOKENS,
        row_length=ROW,
        max_sequences=max_sequences,
        rng=np.random.default_rng(seed),
    )


def members(rows: Rows) -> list[list[int]]:
    return [rows.instances.a_start[a:b].tolist() for a, b in itertools.pairwise(rows.splits)]


@given(st.lists(LENGTHS, max_size=3), st.integers(1, 5), st.integers(0, 9))
def test_every_instance_is_in_one_row_and_rows_do_not_overflow(
    copies: list[list[int]], max_sequences: int, seed: int
) -> None:
    made = [instances_of(lengths, 1000 * copy) for copy, lengths in enumerate(copies)]
    rows = packed(made, max_sequences, seed)
    found = members(rows)
    everything = [1000 * copy + i for copy, lengths in enumerate(copies) for i in range(len(lengths))]
    assert sorted(itertools.chain(*found)) == everything
    assert len(rows) == len(found)
    for row in found:
        assert 1 <= len(row) <= max_sequences
        assert sum(copies[i // 1000][i % 1000] + SPECIAL_TOKENS for i in row) <= ROW
        assert len({i // 1000 for i in row}) == 1, "a row holds one copy"
    # Whole instances: every column goes with its instance.
    columns = (getattr(rows.instances, name) for name in ("a_start", "a_length", "b_length", "label"))
    for i, *values in zip(*columns, strict=True):
        total = copies[i // 1000][i % 1000]
        assert values == [total // 2, total - total // 2, total % 2]


def test_rows_are_in_random_order_and_so_are_equal_instances() -> None:
    lengths = [ROW - SPECIAL_TOKENS] * 200 + [ROW // 2 - SPECIAL_TOKENS] * 400
    one, same, other = (members(packed([instances_of(lengths)], seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert len(one) == len(other) == 400
    # Full rows are not before the rows of two.
    single = [place for place, row in enumerate(one) if len(row) == 1]
    assert abs(np.mean(single) - 199.5) < 5 * np.std(range(400)) / np.sqrt(200)
    # Partners are drawn, not neighbours.
    pairs = [abs(row[0] - row[1]) for row in one if len(row) == 2]
    assert np.mean(pairs) > 50


def test_no_instance_is_no_row() -> None:
    for copies in ([], [Instances.none()], [Instances.none()] * 2):
        rows = packed(copies)
        assert (len(rows), len(rows.instances), rows.splits.tolist()) == (0, 0, [0])


def test_slices_are_rows() -> None:
    rows = packed([instances_of([20, 30, 9, 9, 40, 50, 61])])
    found = members(rows)
    for start in range(len(rows) + 1):
        for stop in range(start, len(rows) + 3):
            assert members(rows.slice(start, stop)) == found[start:stop]
            assert rows.slice(start, stop).splits[0] == 0
    single = Rows.one_each(rows.instances)
    assert members(single.slice(2, 4)) == [[i] for i in rows.instances.a_start[2:4].tolist()]


@pytest.mark.parametrize(("length", "pairs", "most"), [(128, False, 16), (128, True, 8), (512, True, 32), (5, True, 1)])
def test_the_default_of_sequences(length: int, pairs: bool, most: int) -> None:
    assert default_max_sequences(length, pairs=pairs) == most
