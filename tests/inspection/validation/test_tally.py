"""Counts of a batch, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.inspection.examples import Examples
from pipeline.inspection.validation.tally import Tally
from pipeline.inspection.validation.vocabulary import VocabularyFacts
from pipeline.tokenizers.word_boundaries import WordBoundaries

PAD, UNK, CLS, SEP, MASK = range(5)
FACTS = VocabularyFacts(
    size=15,
    special_ids={"pad": PAD, "unk": UNK, "cls": CLS, "sep": SEP, "mask": MASK},
    is_ordinary=np.arange(15) >= 5,
    word_boundaries=WordBoundaries(np.ones(15, bool)),
    known=True,
)


def tally(stored: list[list[int]]) -> Tally:
    """Of two examples of four and three tokens of text; each 9 becomes what `stored` says there."""
    ids = np.array([[CLS, 9, 9, 7, 9, SEP], [CLS, UNK, 9, 8, SEP, PAD]], np.int32)
    examples = Examples(
        ids=ids,
        stored_ids=np.array(stored, np.int32),
        lengths=np.array([6, 5]),
        ordinary=~np.isin(ids, [PAD, CLS, SEP]),
        predicted=ids == 9,
        type_ids=np.zeros_like(ids),
        begins=np.arange(6) == np.zeros((2, 1)),
        packed=False,
        labels=np.array([[1], [0]]),
    )
    made = Tally(max_seq_length=8)
    made.count(examples, FACTS, masked=True)
    return made


def test_a_batch() -> None:
    made = tally([[CLS, MASK, 6, 7, 9, SEP], [CLS, UNK, MASK, 8, SEP, PAD]])
    assert made.counts == {
        "examples": 2,
        "tokens": 11,
        "padding": 1,
        "unknown_tokens": 1,
        "label_1": 1,
        "predictions": 4,
        "replaced_by_mask": 2,
        "replaced_at_random": 1,
    }
    assert made.coincidence == pytest.approx(4 / 10)  # Of the ten that may be drawn, one is the original.
    assert (made.squares, made.longest_run) == (2**2 + 1 + 1, 2)
    np.testing.assert_array_equal(made.predicted_at, [0, 1, 2, 0, 1, 0, 0, 0])
    first, second = 3 / 4, 1 / 3
    np.testing.assert_allclose(made.expected_at, [0, *[first + second] * 3, first, 0, 0, 0])
    of_first, of_second = first * (1 - first), second * (1 - second)
    np.testing.assert_allclose(made.variance_at, [0, *[of_first + of_second] * 3, of_first, 0, 0, 0])


def test_two_parts_add_up() -> None:
    stored = [[CLS, MASK, 6, 7, 9, SEP], [CLS, UNK, MASK, 8, SEP, PAD]]
    both, part = tally(stored), tally(stored)
    both.add(part)
    assert both.counts["predictions"] == 8
    assert (both.squares, both.longest_run) == (12, 2)
    np.testing.assert_array_equal(both.predicted_at, 2 * part.predicted_at)
    np.testing.assert_allclose(both.variance_at, 2 * part.variance_at)
