"""The compiled loops against their forms in numpy and in Python."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.examples import lay_out

from pipeline.instances import examples, kernels
from pipeline.instances.instances import Instances
from pipeline.instances.rows import Rows
from pipeline.records.spec import RecordSpec

SPECIAL = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}


def random_instances(rng: np.random.Generator, number: int, pairs: bool) -> tuple[np.ndarray, Instances]:
    token_ids = rng.integers(3, 60, 100, np.int32)  # Separators among them, as joined documents have.
    if pairs:
        token_ids = np.maximum(token_ids, 5)
    b_length = rng.integers(1, 15, number) if pairs else np.zeros(number, np.int64)
    label = np.zeros(number, np.int64)
    ranges = (rng.integers(0, 80, number), rng.integers(1, 15, number), rng.integers(0, 80, number), b_length)
    return token_ids, Instances(*ranges, label)


@pytest.mark.parametrize("pairs", [True, False])
@given(seed=st.integers(0, 2**32), number=st.integers(0, 12))
@settings(deadline=None, max_examples=100)
def test_layout(pairs: bool, seed: int, number: int) -> None:
    token_ids, instances = random_instances(np.random.default_rng(seed), number, pairs)
    spec = RecordSpec(32, 4, next_sentence=pairs)

    *made, sequence_ids = examples._lay_out(token_ids, Rows.one_each(instances), spec, SPECIAL)
    _, lengths = examples._places(Rows.one_each(instances), spec)

    for column, expected in zip([*made, lengths], lay_out(token_ids, instances, spec, SPECIAL), strict=True):
        np.testing.assert_array_equal(column, expected)
        assert column.dtype == expected.dtype
    assert sequence_ids.shape == (number, 0)


@pytest.mark.parametrize("pairs", [True, False])
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 4), max_size=6))
@settings(deadline=None, max_examples=100)
def test_layout_of_packed_rows(pairs: bool, seed: int, sizes: list[int]) -> None:
    """The single layouts behind one another."""
    token_ids, instances = random_instances(np.random.default_rng(seed), sum(sizes), pairs)
    rows = Rows(instances, np.cumsum([0, *sizes]))
    spec = RecordSpec(128, 4, next_sentence=pairs, max_sequences_per_row=4)
    ids, type_ids, ordinary, lengths = lay_out(token_ids, instances, RecordSpec(32, 4, next_sentence=pairs), SPECIAL)

    made = examples._lay_out(token_ids, rows, spec, SPECIAL)
    begins, row_lengths = examples._places(rows, spec)

    number = np.arange(sum(sizes)) - np.repeat(rows.splits[:-1], sizes) + 1
    single = (ids, type_ids, ordinary, np.repeat(number[:, np.newaxis], 32, axis=1))
    for column, values in zip(made, single, strict=True):
        for row, (first, end) in enumerate(itertools.pairwise(rows.splits.tolist())):
            expected = [value for item in range(first, end) for value in values[item, : lengths[item]].tolist()]
            assert column[row].tolist() == expected + [0] * (128 - len(expected))
    assert row_lengths.tolist() == [lengths[a:b].sum() for a, b in itertools.pairwise(rows.splits)]
    places = [np.cumsum([0, *lengths[a:b]])[:-1] for a, b in itertools.pairwise(rows.splits)]
    assert begins.tolist() == [begin for row in places for begin in row]


def fullest_that_fits(lengths: list[int], row_length: int, max_sequences: int) -> list[tuple[int, int]]:
    """Free space and number of sequences of rows that are filled one by one, in the order in which they are opened."""
    rows: list[tuple[int, int]] = []
    for length in lengths:
        fit = [(free, row) for row, (free, held) in enumerate(rows) if free >= length and held < max_sequences]
        if fit:
            free, row = min(fit)
            rows[row] = free - length, rows[row][1] + 1
        else:
            rows.append((row_length - length, 1))
    return rows


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(40, 70))
@settings(deadline=None, max_examples=200)
def test_best_fit(lengths: list[int], row_length: int) -> None:
    """The free spaces are those of a search through all rows, whichever of two equal ones is taken."""
    row_of = np.full(len(lengths), -1)
    rows = kernels.best_fit(np.array(lengths, np.int64), np.arange(len(lengths)), row_length, 99, row_of)

    used = np.bincount(row_of, weights=lengths, minlength=rows).astype(int) if rows else np.zeros(0, int)
    expected = sorted(free for free, _ in fullest_that_fits(lengths, row_length, 99))
    assert sorted(row_length - used) == expected
    assert sorted(set(row_of.tolist())) == list(range(rows))


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(1, 5))
@settings(deadline=None, max_examples=200)
def test_best_fit_with_few_sequences_a_row(lengths: list[int], most: int) -> None:
    row_of = np.full(len(lengths), -1)
    rows = kernels.best_fit(np.array(lengths, np.int64), np.arange(len(lengths)), 30, most, row_of)

    assert np.bincount(row_of, minlength=rows).max(initial=0) <= most
    assert np.bincount(row_of, weights=lengths, minlength=rows).max(initial=0) <= 30
    # A row was only opened when none had room: at most one row is less than half full with room for a sequence more.
    used, held = np.bincount(row_of, weights=lengths, minlength=rows), np.bincount(row_of, minlength=rows)
    assert ((used < 15) & (held < most)).sum() <= 1
