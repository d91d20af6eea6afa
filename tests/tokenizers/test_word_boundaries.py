import numpy as np

from pipeline.tokenizers.word_boundaries import WordBoundaries


def test_tokens_tell_for_themselves() -> None:
    boundaries = WordBoundaries(np.array([True, False, True]))
    assert boundaries.find(np.array([[0, 1, 1], [1, 2, 0]])).tolist() == [[True, False, False], [False, True, True]]


def test_what_stands_before_may_tell_first() -> None:
    begins, goes_on, alone, mark = range(4)
    boundaries = WordBoundaries(np.array([True, False, True, True]), np.array([0, 0, 1, -1], np.int8))
    rows = np.array([[begins, goes_on, alone, goes_on], [goes_on, mark, begins, goes_on], [alone, alone, mark, alone]])
    assert boundaries.find(rows).astype(int).tolist() == [[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 0]]
    assert boundaries.find(rows[1]).astype(int).tolist() == [0, 1, 0, 0]
    assert boundaries.find(np.zeros((2, 0), int)).shape == (2, 0)


def test_what_stands_before_may_be_of_a_class() -> None:
    letter, space, mark = range(3)
    after = np.array([[False, True, True], [False, False, False]])  # After a letter, and after white space.
    boundaries = WordBoundaries(np.array([True, True, True]), np.array([2, 3, 1], np.int8), after)
    rows = np.array([[letter, letter, mark, letter], [space, letter, space, mark]])
    assert boundaries.find(rows).astype(int).tolist() == [[1, 0, 1, 1], [1, 0, 1, 0]]
    assert boundaries.find(rows[0]).astype(int).tolist() == [1, 0, 1, 1]
