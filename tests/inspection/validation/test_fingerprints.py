from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pipeline.inspection.examples import Examples
from pipeline.inspection.validation.fingerprints import Fingerprinter

MASK, FIRST, VOCAB = 4, 5, 1000


def make_examples(ids: np.ndarray, predicted: np.ndarray | None = None) -> Examples:
    """Examples of ordinary tokens and specials (ids below 4), unmasked or with [MASK] where `predicted`."""
    predicted = np.zeros(ids.shape, bool) if predicted is None else predicted
    return Examples(
        ids=ids,
        stored_ids=np.where(predicted, MASK, ids),
        lengths=(ids != 0).sum(axis=1),
        ordinary=ids >= FIRST,
        predicted=predicted,
        type_ids=np.zeros_like(ids),
        begins=np.broadcast_to(np.arange(ids.shape[1]) == 0, ids.shape),
        packed=False,
        labels=None,
    )


@pytest.fixture
def random_ids() -> np.ndarray:
    return np.random.default_rng(2).integers(FIRST, VOCAB, (200, 64))


@pytest.fixture(scope="module")
def fingerprinter() -> Fingerprinter:
    return Fingerprinter(VOCAB, 64)


def test_texts_are_told_apart_by_any_token_and_by_their_order(
    fingerprinter: Fingerprinter, random_ids: np.ndarray
) -> None:
    ids = random_ids.copy()
    ids[1:51] = ids[0]
    for row in range(1, 50):
        ids[row, row] = 5 + (ids[row, row] + 1) % 900
    ids[50] = ids[0, ::-1]
    assert len(np.unique(fingerprinter.texts(make_examples(ids)))) == len(ids)


def test_texts_do_not_depend_on_masks_and_masks_are_told_apart(
    fingerprinter: Fingerprinter, random_ids: np.ndarray
) -> None:
    ids = np.repeat(random_ids[:1], 60, axis=0)
    predicted = np.eye(60, 64, dtype=bool)
    masked = make_examples(ids, predicted)
    assert len(np.unique(fingerprinter.texts(masked))) == 1
    assert len(np.unique(fingerprinter.masked(masked))) == 60
    kept = dataclasses.replace(masked, stored_ids=ids)
    # The same text and stored tokens, but other predictions.
    assert len(np.unique(fingerprinter.masked(kept))) == 60


def test_mask_bits_count_the_possibilities(fingerprinter: Fingerprinter, random_ids: np.ndarray) -> None:
    ids = random_ids[:3].copy()
    ids[:, 0] = 2
    predicted = np.zeros(ids.shape, bool)
    predicted[0, 1:11] = True
    predicted[1, 1:11] = True
    examples = make_examples(ids, predicted)
    examples.stored_ids[1, 1:4] = FIRST + (ids[1, 1:4] + 1 - FIRST) % (VOCAB - FIRST)
    ways = math.log2(math.comb(63, 10))
    np.testing.assert_allclose(
        fingerprinter.mask_bits(examples, MASK), [ways, ways + 3 * math.log2(VOCAB), 0.0], rtol=1e-4
    )


@pytest.mark.parametrize("width", [1, 8, 32, 64])
def test_windows_are_alike_wherever_they_stand(
    fingerprinter: Fingerprinter, random_ids: np.ndarray, width: int
) -> None:
    ids = random_ids[:20]
    moved = np.concatenate([ids[:, 13:], random_ids[20:40, :13]], axis=1)
    here, there = (fingerprinter.windows(make_examples(x), width, 1) for x in (ids, moved))
    assert len(here.hashes) == 20 * (65 - width)
    places = {(int(row), int(place)): h for row, place, h in zip(here.rows, here.places, here.hashes, strict=True)}
    for row, place, found in zip(there.rows, there.places, there.hashes, strict=True):
        if place + width <= 64 - 13:
            assert places[int(row), int(place) + 13] == found
    if width > 1:
        assert len(np.unique(here.hashes)) == len(here.hashes)


def test_windows_hold_no_special_token(fingerprinter: Fingerprinter, random_ids: np.ndarray) -> None:
    ids = random_ids[:1].copy()
    ids[0, [0, 30]] = 2, 3
    ids[0, 55:] = 0
    found = fingerprinter.windows(make_examples(ids), 10, 1)
    assert found.places.tolist() == [*range(1, 21), *range(31, 46)]


def test_windows_are_sampled_by_what_they_hold(fingerprinter: Fingerprinter, random_ids: np.ndarray) -> None:
    every, some = (fingerprinter.windows(make_examples(random_ids), 8, one_in) for one_in in (1, 4))
    assert set(some.hashes.tolist()) == {h for h in every.hashes.tolist() if h % 4 == 0}
    assert 0.2 < len(some.hashes) / len(every.hashes) < 0.3


def test_examples_shorter_than_a_window_have_none(fingerprinter: Fingerprinter, random_ids: np.ndarray) -> None:
    assert len(fingerprinter.windows(make_examples(random_ids), 65, 1).hashes) == 0
