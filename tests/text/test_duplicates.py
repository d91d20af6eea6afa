from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import duplicates
from pipeline.text.duplicates import DuplicateSets, equal_keys, key_columns
from pipeline.text.minhash import BANDS


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_equal_keys_are_paired_with_their_first(values: list[tuple[int, int]]) -> None:
    keys = np.array(values, np.uint64).reshape(-1, 2)
    numbers = np.arange(len(values)) * 10 + 5
    expected = {(10 * i + 5, 10 * values.index(v) + 5) for i, v in enumerate(values) if values.index(v) != i}
    pairs = equal_keys(keys, numbers)
    assert pairs.shape == (len(expected), 2)
    assert set(map(tuple, pairs.tolist())) == expected


@given(st.integers(1, 40).flatmap(lambda n: st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), max_size=60)))
def test_sets_are_those_of_a_search_through_the_pairs(pairs: list[tuple[int, int]]) -> None:
    documents = 40
    sets = DuplicateSets(documents)
    half = len(pairs) // 2
    for part in (pairs[:half], pairs[half:]):
        sets.join(np.array(part, np.int64).reshape(-1, 2))
    labels = list(range(documents))
    for _ in range(documents):
        for a, b in pairs:
            labels[a] = labels[b] = min(labels[a], labels[b])
    assert sets.duplicates().tolist() == [i for i, label in enumerate(labels) if label != i]


def test_columns_do_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(1)
    documents = [" ".join(draw.choice("abcdefgh") * 3 for _ in range(draw.randint(0, 40))) for _ in range(60)]
    whole = key_columns(documents, near=True)
    monkeypatch.setattr(duplicates, "_BATCH_CHARS", 100)
    parts = key_columns(iter(documents), near=True)
    assert [column.shape for column in whole] == [(60, 2), *[(60, 1)] * BANDS]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [column.shape for column in key_columns([], near=False)] == [(0, 2)]
