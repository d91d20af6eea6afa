"""Which tokens are predicted: a random choice of tokens, words, n-grams or spans, for a batch at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Selection(NamedTuple):
    """The tokens that a batch of examples is to predict.

    Attributes:
        selected: bool `[batch, S]`.
        unit: int64 `[selected tokens]`, in the order of `selected`'s places, row by row: the number of the unit that
            a token belongs to.
        units: how many units there are.
    """

    selected: np.ndarray
    unit: np.ndarray
    units: int


def select_tokens(maskable: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> Selection:
    """Chooses tokens one by one, uniformly.

    Args:
        maskable: bool `[batch, S]`: where a token may be chosen.
        wanted: integers `[batch]`, how many to choose; where fewer may be, all are.
        rng: the generator of this batch.
    """
    from pipeline.masking import kernels

    wanted = np.minimum(wanted, maskable.sum(axis=1))
    drawn = rng.random((len(maskable), int(wanted.max(initial=0))))
    selected = np.zeros(maskable.shape, bool)
    kernels.choose_tokens(maskable, wanted, drawn, selected)
    units = int(wanted.sum())
    return Selection(selected, np.arange(units), units)


def select_words(
    maskable: np.ndarray,
    starts_word: np.ndarray,
    wanted: np.ndarray,
    lengths: np.ndarray,
    rng: np.random.Generator,
) -> Selection:
    """Chooses units of whole words: single words, n-grams or spans.

    Units are drawn one after the other, a length first, then a place; one that overlaps an earlier unit, spans a
    special token or has more tokens than are still wanted is passed over. That is tensorflow/models'
    `_masking_ngrams` (create_pretraining_data.py), with its lists of what is left to draw replaced by drawing again.
    All examples draw at the same time. What rare examples have not found after many draws is filled with single words.

    Args:
        maskable: bool `[batch, S]`: where a token may be chosen.
        starts_word: bool `[batch, S]`: where a token begins a word. What is maskable behind what is not begins one too.
        wanted: integers `[batch]`, how many tokens to choose; fewer are where no word is left that fits.
        lengths: float64, the probabilities of a unit of 1, 2, ... words.
        rng: the generator of this batch.
    """
    words = _find_words(maskable, starts_word)
    covered = np.zeros(len(words.begin), bool)
    remaining = np.minimum(wanted, maskable.sum(axis=1)).astype(np.int64)
    units: list[tuple[np.ndarray, np.ndarray]] = []
    thresholds = np.cumsum(lengths)
    number = np.diff(words.row_splits)
    active = np.flatnonzero((remaining > 0) & (number > 0))
    for _ in range(4 * int(wanted.max(initial=0)) + 16):
        if not len(active):
            break
        draws = rng.random((2, len(active)))
        first = words.row_splits[active] + (draws[0] * number[active]).astype(np.int64)
        last = first + np.minimum(np.searchsorted(thresholds, draws[1], side="right"), len(lengths) - 1)
        fits = last < words.row_splits[active + 1]
        last = np.where(fits, last, first)
        fits &= words.run[first] == words.run[last]
        tokens = words.begin[last] + words.length[last] - words.begin[first]
        fits &= tokens <= remaining[active]
        for step in range(len(lengths)):
            fits &= ~covered[np.minimum(first + step, last)]
        _cover(covered, first[fits], last[fits], len(lengths))
        units.append((first[fits], last[fits]))
        remaining[active[fits]] -= tokens[fits]
        active = active[remaining[active] > 0]
    units += _fill(words, covered, remaining, active, rng)
    return _to_selection(maskable.shape, words, units)


class _Words(NamedTuple):
    """The words of a batch.

    Attributes:
        begin: int64 `[words]`, the place of a word's first token in the flattened batch.
        length: int64 `[words]`, its tokens.
        run: int64 `[words]`, alike for words with nothing between them.
        row_splits: int64 `[batch + 1]`, over the words.
    """

    begin: np.ndarray
    length: np.ndarray
    run: np.ndarray
    row_splits: np.ndarray


def _find_words(maskable: np.ndarray, starts_word: np.ndarray) -> _Words:
    before = np.zeros_like(maskable)
    before[:, 1:] = maskable[:, :-1]
    begins_run = maskable & ~before
    begins = maskable & (starts_word | ~before)
    begin = np.flatnonzero(begins)
    # A token belongs to the last word that began before it.
    word_of = np.cumsum(begins.ravel())[maskable.ravel()] - 1
    run = np.cumsum(begins_run.ravel())[begin]
    row_splits = np.zeros(len(maskable) + 1, np.int64)
    np.cumsum(begins.sum(axis=1), out=row_splits[1:])
    return _Words(begin, np.bincount(word_of, minlength=len(begin)), run, row_splits)


def _cover(covered: np.ndarray, first: np.ndarray, last: np.ndarray, most_words: int) -> None:
    for step in range(most_words):
        covered[np.minimum(first + step, last)] = True


def _fill(
    words: _Words, covered: np.ndarray, remaining: np.ndarray, active: np.ndarray, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Adds single words, at random, to the examples that want more, until none is left that fits."""
    units = []
    for row in active.tolist():
        candidates = np.arange(words.row_splits[row], words.row_splits[row + 1])
        for word in candidates[np.argsort(rng.random(len(candidates)), kind="stable")]:
            if not covered[word] and words.length[word] <= remaining[row]:
                covered[word] = True
                remaining[row] -= words.length[word]
                units.append((np.array([word]), np.array([word])))
    return units


def _to_selection(shape: tuple[int, ...], words: _Words, units: list[tuple[np.ndarray, np.ndarray]]) -> Selection:
    if not units:
        return Selection(np.zeros(shape, bool), np.zeros(0, np.int64), 0)
    first, last = (np.concatenate(column) for column in zip(*units, strict=True))
    begin, end = words.begin[first], words.begin[last] + words.length[last]
    # Units do not overlap: a unit's number stands from its begin up to its end.
    number = np.full(shape[0] * shape[1] + 1, -1)
    lengths = end - begin
    places = np.repeat(begin - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(lengths.sum())
    number[places] = np.repeat(np.arange(len(begin)), lengths)
    selected = number[:-1] >= 0
    return Selection(selected.reshape(shape), number[:-1][selected], len(begin))
