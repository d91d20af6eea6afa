from __future__ import annotations

import numpy as np
import pytest

from pipeline.masking.policy import MaskingPolicy
from pipeline.masking.selection import Selection, select_tokens, select_words
from pipeline.seeding import generator

ROWS, LENGTH = 400, 60


def random_rows(seed: int, piece_share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Rows with special tokens in the middle and padding at the end: where to choose, and where words begin."""
    rng = np.random.default_rng(seed)
    maskable = np.ones((ROWS, LENGTH), bool)
    maskable[:, 0] = False
    maskable[np.arange(ROWS), rng.integers(2, LENGTH, ROWS)] = False
    maskable[np.arange(LENGTH) >= rng.integers(5, LENGTH + 1, ROWS)[:, np.newaxis]] = False
    return maskable, rng.random(maskable.shape) > piece_share


def units_of(selection: Selection) -> list[list[tuple[int, int]]]:
    """The places (row, column) of each unit."""
    places = np.argwhere(selection.selected).tolist()
    assert len(places) == len(selection.unit)
    units: list[list[tuple[int, int]]] = [[] for _ in range(selection.units)]
    for (row, column), unit in zip(places, selection.unit.tolist(), strict=True):
        units[unit].append((row, column))
    return units


def assert_uniform(counts: np.ndarray, share: float, trials: int) -> None:
    """Chi-square of how often each of several places was chosen, without repetition within a trial; five sigma."""
    freedom = len(counts) - 1
    variance = trials * share * (1 - share) * len(counts) / freedom  # Places of one trial exclude one another.
    statistic = ((counts - trials * share) ** 2 / variance).sum()
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


# === Tokens ===


def test_tokens_are_as_many_as_wanted_and_where_they_may_be() -> None:
    maskable, _ = random_rows(1)
    wanted = np.random.default_rng(2).integers(0, 15, ROWS)
    selection = select_tokens(maskable, wanted, generator(3, "test"))
    assert not (selection.selected & ~maskable).any()
    assert selection.selected.sum(axis=1).tolist() == np.minimum(wanted, maskable.sum(axis=1)).tolist()
    assert [len(unit) for unit in units_of(selection)] == [1] * selection.units


def test_all_tokens_may_be_wanted() -> None:
    maskable, _ = random_rows(1)
    for more in (0, 1, 1000):
        selection = select_tokens(maskable, maskable.sum(axis=1) + more, generator(3, "test"))
        assert (selection.selected == maskable).all()


def test_no_rows_and_no_wishes() -> None:
    maskable, _ = random_rows(1)
    for rows, wanted in ((0, 5), (ROWS, 0)):
        selection = select_tokens(maskable[:rows], np.full(rows, wanted), generator(3, "test"))
        assert selection.selected.shape == (rows, LENGTH)
        assert selection.units == selection.selected.sum() == len(selection.unit) == 0


def test_tokens_are_chosen_uniformly() -> None:
    maskable = np.zeros((50_000, 24), bool)
    maskable[:, 1:12] = maskable[:, 13:22] = True
    selection = select_tokens(maskable, np.full(len(maskable), 3), generator(7, "test"))
    counts = selection.selected.sum(axis=0)
    assert_uniform(counts[maskable[0]], 3 / 20, len(maskable))
    # Pairs, too: how often the first two of the places that may be chosen come together.
    together = (selection.selected[:, 1] & selection.selected[:, 2]).mean()
    share = 3 / 20 * 2 / 19
    assert abs(together - share) < 5 * np.sqrt(share / len(maskable))


# === Words, n-grams, spans ===

LENGTHS = {unit: MaskingPolicy(20, unit=unit).unit_lengths() for unit in ("word", "ngram", "span")}


@pytest.mark.parametrize("unit", list(LENGTHS))
def test_units_are_whole_words_that_do_not_overlap(unit: str) -> None:
    maskable, starts_word = random_rows(4)
    wanted = np.random.default_rng(5).integers(0, 15, ROWS)
    selection = select_words(maskable, starts_word, wanted, LENGTHS[unit], generator(6, "test"))
    assert not (selection.selected & ~maskable).any()
    assert (selection.selected.sum(axis=1) <= wanted).all()
    for places in units_of(selection):
        row, begin = places[0]
        end = places[-1][1] + 1
        assert places == [(row, column) for column in range(begin, end)]  # In one row, with nothing between.
        assert starts_word[row, begin] or not maskable[row, begin - 1]
        assert end == LENGTH or starts_word[row, end] or not maskable[row, end]
        assert 1 <= 1 + starts_word[row, begin + 1 : end].sum() <= len(LENGTHS[unit])


@pytest.mark.parametrize("unit", list(LENGTHS))
def test_no_word_that_fits_is_left_while_more_is_wanted(unit: str) -> None:
    maskable, starts_word = random_rows(4)
    wanted = np.random.default_rng(5).integers(0, 40, ROWS)
    selected = select_words(maskable, starts_word, wanted, LENGTHS[unit], generator(6, "test")).selected
    assert (selected.sum(axis=1) == np.minimum(wanted, maskable.sum(axis=1))).mean() > 0.8
    for row in range(ROWS):
        left = wanted[row] - selected[row].sum()
        begins = [c for c in range(LENGTH) if maskable[row, c] and (starts_word[row, c] or not maskable[row, c - 1])]
        for begin in begins:
            end = begin + 1
            while end < LENGTH and maskable[row, end] and not starts_word[row, end]:
                end += 1
            assert selected[row, begin] or end - begin > left


@pytest.mark.parametrize("unit", list(LENGTHS))
def test_where_every_token_is_a_word_the_wish_is_met_exactly(unit: str) -> None:
    maskable, _ = random_rows(8)
    wanted = np.random.default_rng(5).integers(0, 80, ROWS)
    selection = select_words(maskable, np.ones_like(maskable), wanted, LENGTHS[unit], generator(6, "test"))
    assert selection.selected.sum(axis=1).tolist() == np.minimum(wanted, maskable.sum(axis=1)).tolist()


def test_a_single_word_that_is_too_long_is_not_cut() -> None:
    maskable = np.array([[False, True, True, True, False]])
    starts_word = np.array([[True, True, False, False, True]])
    for wanted, expected in ((2, 0), (3, 3)):
        selection = select_words(maskable, starts_word, np.array([wanted]), np.ones(1), generator(1, "test"))
        assert selection.selected.sum() == expected
    assert selection.units == 1


def test_what_follows_a_special_token_begins_a_word() -> None:
    """A segment may be cut within a word: what is left of it is a word of its own."""
    maskable = np.array([[False, True, True, False, True, True]])
    starts_word = np.array([[True, False, True, True, False, False]])
    units = set()
    for seed in range(40):
        selection = select_words(maskable, starts_word, np.array([2]), np.ones(1), generator(seed, "test"))
        units |= {tuple(column for _, column in unit) for unit in units_of(selection)}
    assert units == {(1,), (2,), (4, 5)}


@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_to_choose_from(rows: int) -> None:
    nothing = np.zeros((rows, 8), bool)
    selection = select_words(nothing, nothing, np.full(rows, 2), LENGTHS["ngram"], generator(1, "test"))
    assert selection.selected.shape == (rows, 8)
    assert not selection.selected.any()
    assert selection.units == 0


def select_one_by_one(words: list[int], wanted: int, lengths: np.ndarray, rng: np.random.Generator) -> list[list[int]]:
    """The published way for one row: words given by their tokens; returns the words of each unit."""
    covered: set[int] = set()
    units: list[list[int]] = []
    while wanted:
        number = rng.choice(len(lengths), p=lengths) + 1
        first = int(rng.integers(len(words)))
        unit = list(range(first, first + number))
        if unit[-1] >= len(words) or covered & set(unit):
            continue
        tokens = sum(words[word] for word in unit)
        if tokens <= wanted:
            units.append(unit)
            covered |= set(unit)
            wanted -= tokens
    return units


@pytest.mark.parametrize("unit", list(LENGTHS))
def test_a_batch_is_chosen_as_if_row_by_row(unit: str) -> None:
    """The same shares of unit lengths and of chosen words, within five sigma."""
    words = [1, 2, 1, 1, 3, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1]
    wanted, rows, reference_rows = 8, 8000, 3000
    starts = np.concatenate([[1] + [0] * (tokens - 1) for tokens in words]).astype(bool)
    word_of = np.cumsum(starts) - 1
    shape = (rows, len(starts))
    selection = select_words(
        np.ones(shape, bool), np.broadcast_to(starts, shape), np.full(rows, wanted), LENGTHS[unit], generator(9, "test")
    )
    most = len(LENGTHS[unit])
    found = np.zeros((rows, most))  # Units of each length, by row.
    for places in units_of(selection):
        found[places[0][0], len({word_of[column] for _, column in places}) - 1] += 1
    rng = np.random.default_rng(10)
    expected, chosen = np.zeros((reference_rows, most)), np.zeros((reference_rows, len(words)))
    for row in range(reference_rows):
        for one in select_one_by_one(words, wanted, LENGTHS[unit], rng):
            expected[row, len(one) - 1] += 1
            chosen[row, one] = 1
    assert_same_means(found, expected)
    assert_same_means(selection.selected[:, starts].astype(float), chosen)


def assert_same_means(a: np.ndarray, b: np.ndarray) -> None:
    error = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) <= 5 * error + 1e-3).all()
