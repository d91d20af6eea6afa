import itertools
import random

from pipeline.tokenizers.learning.learn import most_frequent

COUNTS = [(f"w{i}", count) for i, count in enumerate([5, 1, 3, 1, 1, 1, 1, 1, 1, 9])]


def test_keeps_the_most_frequent() -> None:
    assert set(most_frequent(COUNTS, 3)) == {("w0", 5), ("w2", 3), ("w9", 9)}
    assert most_frequent(COUNTS, 10) == COUNTS


def test_the_same_of_equals_in_any_order_and_however_they_are_gathered() -> None:
    expected = set(most_frequent(COUNTS, 5))
    assert expected >= {("w0", 5), ("w2", 3), ("w9", 9)}
    shuffled = list(COUNTS)
    for seed in range(20):
        random.Random(seed).shuffle(shuffled)
        assert set(most_frequent(shuffled, 5)) == expected
        parts = (most_frequent(shuffled[:seed], 5), most_frequent(shuffled[seed:], 5))
        assert set(most_frequent(itertools.chain(*parts), 5)) == expected


def test_equals_are_not_kept_by_their_letters() -> None:
    counts = [(letter + str(i), 1) for letter in "abcd" for i in range(200)]
    kept = [word[0] for word, _ in most_frequent(counts, 400)]
    assert all(60 < kept.count(letter) < 140 for letter in "abcd")
