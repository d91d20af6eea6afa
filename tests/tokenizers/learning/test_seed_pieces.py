from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tokenizers.learning.seed_pieces import seed_pieces


def find_slowly(counts: dict[str, int], max_length: int) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for word, count in counts.items():
        for start in range(len(word)):
            for end in range(start + 1, min(start + max_length, len(word)) + 1):
                totals[word[start:end]] += count

    def always_followed_by_the_same(piece: str) -> bool:
        longer = [totals[other] for other in totals if len(other) == len(piece) + 1 and other.startswith(piece)]
        return max(longer, default=0) == totals[piece]

    return {
        piece: count
        for piece, count in totals.items()
        if len(piece) > 1 and count > 1 and not always_followed_by_the_same(piece)
    }


WORDS = st.dictionaries(st.text("ab▁漢", min_size=1, max_size=6), st.integers(1, 5), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(counts=WORDS, max_length=st.integers(2, 7))
def test_counts_what_it_says(counts: dict[str, int], max_length: int) -> None:
    pieces = seed_pieces(counts, max_length=max_length, limit=10_000)
    assert len(pieces) == len(dict(pieces))
    assert dict(pieces) == find_slowly(counts, max_length)
    assert seed_pieces(dict(reversed(counts.items())), max_length=max_length, limit=10_000) == pieces


def test_the_limit_keeps_what_makes_up_the_most() -> None:
    counts = {"▁the": 50, "▁then": 9, "▁other": 3}
    pieces = seed_pieces(counts, max_length=16, limit=3)
    assert pieces[0] == ("▁the", 59)
    assert set(pieces) < set(seed_pieces(counts, max_length=16, limit=100))
