"""Which tokens are chosen: how many, which words together, and with which probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.masking import MaskingPolicy, mask_examples
from pipeline.seeding import generator

ROWS, LENGTH = 400, 60
PAD, SEP, WORD = 0, 3, 10
SPECIAL = {"pad": PAD, "cls": 2, "sep": SEP, "mask": 4}
UNITS = ("word", "ngram", "span")
MOST_WORDS = {unit: len(MaskingPolicy(20, unit=unit).unit_lengths()) for unit in UNITS}


def random_rows(seed: int, piece_share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Rows with special tokens in the middle and at the end: where to choose, and where words begin."""
    rng = np.random.default_rng(seed)
    maskable = np.ones((ROWS, LENGTH), bool)
    maskable[:, 0] = False
    maskable[np.arange(ROWS), rng.integers(2, LENGTH, ROWS)] = False
    maskable[np.arange(LENGTH) >= rng.integers(5, LENGTH + 1, ROWS)[:, np.newaxis]] = False
    return maskable, rng.random(maskable.shape) > piece_share


def select(maskable: np.ndarray, starts_word: np.ndarray, wanted: int, unit: str, seed: int = 6) -> np.ndarray:
    """Which tokens are predicted where so many are wanted of each row; bool, as `maskable`."""
    keys = generator(seed, "test").integers(2**64, size=len(maskable), dtype=np.uint64)
    masked = mask_examples(
        np.where(maskable, WORD, SEP).astype(np.int32),
        starts_word.astype(np.int32, order="C"),
        keys,
        policy=MaskingPolicy(wanted, 1.0, unit),
        special_ids=SPECIAL,
        ordinary_ids=np.array([WORD], np.int32),
    )
    selected = np.zeros(maskable.shape, bool)
    rows, columns = np.nonzero(masked.weights)
    selected[rows, masked.positions[rows, columns]] = True
    return selected


def assert_uniform(counts: np.ndarray, share: float, trials: int) -> None:
    """Chi-square of how often each of several places was chosen, without repetition within a trial; five sigma."""
    freedom = len(counts) - 1
    variance = trials * share * (1 - share) * len(counts) / freedom  # Places of one trial exclude one another.
    statistic = ((counts - trials * share) ** 2 / variance).sum()
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


# === Tokens ===


@pytest.mark.parametrize("wanted", [1, 7, 60])
def test_tokens_are_as_many_as_wanted_and_where_they_may_be(wanted: int) -> None:
    maskable, starts_word = random_rows(1)
    selected = select(maskable, starts_word, wanted, "token")
    assert not (selected & ~maskable).any()
    assert selected.sum(axis=1).tolist() == np.minimum(wanted, maskable.sum(axis=1)).tolist()


def test_tokens_are_chosen_uniformly() -> None:
    maskable = np.zeros((50_000, 24), bool)
    maskable[:, 1:12] = maskable[:, 13:22] = True
    selected = select(maskable, maskable, 3, "token", seed=7)
    assert_uniform(selected.sum(axis=0)[maskable[0]], 3 / 20, len(maskable))
    # Pairs, too: how often the first two of the places that may be chosen come together.
    together = (selected[:, 1] & selected[:, 2]).mean()
    share = 3 / 20 * 2 / 19
    assert abs(together - share) < 5 * np.sqrt(share / len(maskable))


# === Words, n-grams, spans ===


def words_of(maskable: np.ndarray, starts_word: np.ndarray) -> list[tuple[int, int]]:
    """The begin and end of each word of a row; what is maskable after what is not begins one too."""
    begins = [c for c in range(len(maskable)) if maskable[c] and (starts_word[c] or not maskable[c - 1])]
    ends = []
    for begin in begins:
        end = begin + 1
        while end < len(maskable) and maskable[end] and not starts_word[end]:
            end += 1
        ends.append(end)
    return list(zip(begins, ends, strict=True))


@pytest.mark.parametrize("wanted", [1, 5, 14, 40])
@pytest.mark.parametrize("unit", UNITS)
def test_whole_words_are_chosen_while_one_fits(unit: str, wanted: int) -> None:
    maskable, starts_word = random_rows(4)
    selected = select(maskable, starts_word, wanted, unit)
    assert not (selected & ~maskable).any()
    assert (selected.sum(axis=1) <= wanted).all()
    for row in range(ROWS):
        left = wanted - selected[row].sum()
        for begin, end in words_of(maskable[row], starts_word[row]):
            assert selected[row, begin:end].all() or not selected[row, begin:end].any()
            assert selected[row, begin] or end - begin > left


@pytest.mark.parametrize("wanted", [1, 11, 60])
@pytest.mark.parametrize("unit", UNITS)
def test_where_every_token_is_a_word_the_wish_is_met_exactly(unit: str, wanted: int) -> None:
    maskable, _ = random_rows(8)
    selected = select(maskable, np.ones_like(maskable), wanted, unit)
    assert selected.sum(axis=1).tolist() == np.minimum(wanted, maskable.sum(axis=1)).tolist()


def test_a_single_word_that_is_too_long_is_not_cut() -> None:
    maskable = np.array([[False, True, True, True, False]])
    starts_word = np.array([[True, True, False, False, True]])
    assert [int(select(maskable, starts_word, wanted, "word").sum()) for wanted in (2, 3)] == [0, 3]


def test_what_follows_a_special_token_begins_a_word() -> None:
    """A segment may be cut within a word: what is left of it is a word of its own."""
    maskable = np.array([[False, True, True, False, True, True]])
    starts_word = np.array([[True, False, True, True, False, False]])
    found = {tuple(np.flatnonzero(select(maskable, starts_word, 2, "word", seed)[0])) for seed in range(40)}
    assert found == {(1, 2), (4, 5)}


@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_to_choose_from(rows: int) -> None:
    nothing = np.zeros((rows, 8), bool)
    assert not select(nothing, nothing, 2, "ngram").any()


def select_one_by_one(words: list[int], wanted: int, lengths: np.ndarray, rng: np.random.Generator) -> set[int]:
    """The published way for one row: words given by their tokens; returns those that are chosen."""
    covered: set[int] = set()
    while wanted:
        number = rng.choice(len(lengths), p=lengths) + 1
        first = int(rng.integers(len(words)))
        unit = set(range(first, first + number))
        if first + number > len(words) or covered & unit:
            continue
        tokens = sum(words[word] for word in unit)
        if tokens <= wanted:
            covered |= unit
            wanted -= tokens
    return covered


def runs(chosen: np.ndarray) -> np.ndarray:
    """How many runs of 1, 2, ... neighbouring words each row has."""
    found = np.zeros((len(chosen), chosen.shape[1] + 1))
    for row, words in enumerate(chosen):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], words, [0]])))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            found[row, end - begin] += 1
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_choices_are_as_likely_as_in_the_published_way(unit: str) -> None:
    """The same shares of chosen words, and of words chosen beside each other, within five sigma."""
    words = [1, 2, 1, 1, 3, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1]
    wanted, rows, reference_rows = 8, 8000, 3000
    starts = np.concatenate([[1] + [0] * (tokens - 1) for tokens in words]).astype(bool)
    shape = (rows, len(starts))
    selected = select(np.ones(shape, bool), np.broadcast_to(starts, shape), wanted, unit, seed=9)
    rng = np.random.default_rng(10)
    lengths = MaskingPolicy(20, unit=unit).unit_lengths()
    expected = np.zeros((reference_rows, len(words)), int)
    for row in range(reference_rows):
        expected[row, list(select_one_by_one(words, wanted, lengths, rng))] = 1
    found = selected[:, starts].astype(int)
    assert_same_means(found, expected)
    assert_same_means(runs(found), runs(expected))


def assert_same_means(a: np.ndarray, b: np.ndarray) -> None:
    error = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) <= 5 * error + 1e-3).all()
