import logging
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import VocabularyError
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.tokenizers.learning.wordpiece import SPECIAL_TOKENS, learn_wordpiece
from pipeline.tokenizers.normalizer import BertNormalizer


def learn_slowly(counts: dict[str, int], wanted: int, min_count: int) -> list[str]:
    """The algorithm as it is described, one string at a time."""
    single = {mark + char for word in counts for char in word for mark in ("", "##")}
    cuts = {word: list(range(len(word))) for word in counts}
    for _ in range(4):
        totals: Counter[str] = Counter()
        for word, starts in cuts.items():
            for start in starts:
                for end in range(start + 1, len(word) + 1):
                    totals[("##" if start else "") + word[start:end]] += counts[word]
        by_threshold = [keep(totals, threshold) for threshold in range(max(counts.values()) * 99, min_count - 1, -1)]
        kept = next((kept for kept in by_threshold if len(kept) >= wanted), by_threshold[-1])
        kept = dict(sorted(kept.items(), key=rank)[:wanted])
        cuts = {word: cut(word, kept.keys() | single) for word in counts}
    return sorted(kept, key=lambda piece: rank((piece, kept[piece])))


def rank(item: tuple[str, int]) -> tuple[int, int, bool, str]:
    piece, count = item
    return -count, -len(piece.removeprefix("##")), piece.startswith("##"), piece


def keep(totals: Counter[str], threshold: int) -> dict[str, int]:
    rest = Counter(totals)
    kept = {}
    for piece in sorted(totals, key=lambda piece: -len(piece.removeprefix("##"))):
        mark = 2 * piece.startswith("##")
        if len(piece) - mark > 1 and rest[piece] >= threshold:
            kept[piece] = rest[piece]
            for end in range(mark + 1, len(piece)):
                rest[piece[:end]] -= kept[piece]
    return kept


def cut(word: str, vocabulary: set[str]) -> list[int]:
    """Where the pieces of a word start, the longest match first."""
    starts, start = [], 0
    while start < len(word):
        starts.append(start)
        start = next(
            end for end in range(len(word), start, -1) if ("##" if start else "") + word[start:end] in vocabulary
        )
    return starts


def pieces(vocabulary: list[str]) -> list[str]:
    return [token for token in vocabulary[len(SPECIAL_TOKENS) :] if len(token.removeprefix("##")) > 1]


WORDS = {"walk": 20, "talk": 9, "walking": 8, "talking": 7, "walked": 6, "talked": 5, "king": 3, "balk": 1}


def test_an_example_by_hand() -> None:
    # "walk" and "talk" occur 34 and 21 times; they go on with "ing" 15 times, and with "ed" 11 times.
    vocabulary = learn_wordpiece(WORDS, vocab_size=5 + 2 * 11 + 4)
    assert vocabulary[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert vocabulary[5:16] == list("abdegiklntw")
    assert vocabulary[16:27] == [f"##{char}" for char in "abdegiklntw"]
    assert vocabulary[27:] == ["walk", "talk", "##ing", "##ed"]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.dictionaries(st.text("abcd", min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=25),
    wanted=st.integers(1, 40),
    min_count=st.integers(1, 3),
)
def test_is_the_algorithm_that_is_described(counts: dict[str, int], wanted: int, min_count: int) -> None:
    characters = len(set("".join(counts)))
    vocabulary = learn_wordpiece(
        counts, vocab_size=5 + 2 * characters + wanted, character_coverage=1.0, min_count=min_count
    )
    assert vocabulary[5 + 2 * characters :] == learn_slowly(counts, wanted, min_count)


@pytest.fixture(scope="module")
def english() -> Counter[str]:
    normalizer = BertNormalizer(lower_case=True)
    counts: Counter[str] = Counter()
    for path in source_files(STANDARD_LIBRARY):
        if path.parent.name in ("asyncio", "email", "pydoc_data"):
            for document in documents(path)[0]:
                counts.update(normalizer.words(" ".join(document)))
    return counts


@pytest.mark.parametrize("vocab_size", [300, 1000, 2500])
def test_has_the_size_that_was_asked_for(english: Counter[str], vocab_size: int) -> None:
    vocabulary = learn_wordpiece(english, vocab_size=vocab_size, unused_tokens=9)
    assert len(vocabulary) == len(set(vocabulary)) == vocab_size
    assert vocabulary[5:14] == [f"[unused{i}]" for i in range(9)]


def test_a_larger_vocabulary_cuts_into_fewer_tokens(english: Counter[str]) -> None:
    def tokens_per_word(vocab_size: int) -> float:
        vocabulary = set(learn_wordpiece(english, vocab_size=vocab_size, character_coverage=1.0))
        return sum(len(cut(word, vocabulary)) * count for word, count in english.items()) / english.total()

    small, middle, large = map(tokens_per_word, (300, 1000, 2500))
    assert small > 1.3 > middle > large
    assert large < 1.1


def test_is_independent_of_the_order_of_words(english: Counter[str]) -> None:
    shuffled = list(english.items())
    random.Random(1).shuffle(shuffled)
    assert learn_wordpiece(dict(shuffled), vocab_size=1000) == learn_wordpiece(english, vocab_size=1000)


def test_is_independent_of_hash_seeds() -> None:
    code = f"""if True:
        from pipeline.tokenizers.learning.wordpiece import learn_wordpiece
        words = {{word for word in {list(WORDS)!r}}}
        print(learn_wordpiece({{word: {WORDS!r}[word] for word in words}}, vocab_size=40))"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(outputs) == 1


def test_too_few_words_give_fewer_entries_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        vocabulary = learn_wordpiece({"ab": 2, "cd": 1}, vocab_size=100)
    assert vocabulary == [*SPECIAL_TOKENS, *"abcd", "##a", "##b", "##c", "##d", "ab"]
    assert "14 entries instead of 100" in caplog.text


def test_min_count() -> None:
    assert pieces(learn_wordpiece({"ab": 2, "cd": 3}, vocab_size=100, min_count=3)) == ["cd"]
    assert pieces(learn_wordpiece({"ab": 2, "cd": 3}, vocab_size=100, min_count=1)) == ["cd", "ab"]


def test_rare_characters_are_left_out_with_their_words() -> None:
    counts = {"ab": 50, "aé": 1}
    assert learn_wordpiece(counts, vocab_size=100, character_coverage=0.98)[5:] == ["a", "b", "##a", "##b", "ab"]
    assert "é" in learn_wordpiece(counts, vocab_size=100, character_coverage=1.0)


def test_no_continuation_of_what_is_always_a_word() -> None:
    vocabulary = learn_wordpiece({"a": 3, "!": 2, "中": 2, "か": 2}, vocab_size=100)
    assert vocabulary[5:] == ["!", "a", "か", "中", "##a", "##か"]
    assert "##!" in learn_wordpiece({"a!": 3}, vocab_size=100)  # Unless it is none.


def test_a_vocabulary_of_characters_alone() -> None:
    assert pieces(learn_wordpiece(WORDS, vocab_size=27)) == []
    assert len(pieces(learn_wordpiece(WORDS, vocab_size=28))) == 1


def test_too_small_a_size() -> None:
    with pytest.raises(VocabularyError, match=r"at least 27 entries.*11 characters.*Received: .* 26\."):
        learn_wordpiece(WORDS, vocab_size=26)


@pytest.mark.parametrize(
    ("counts", "message"),
    [({}, "none"), ({"a": 0}, "none"), ({"a b": 5}, "white space"), ({"##ab": 5, "cab": 1, "xab": 1}, "##ab")],
)
def test_bad_words(counts: dict[str, int], message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        learn_wordpiece(counts, vocab_size=100)
