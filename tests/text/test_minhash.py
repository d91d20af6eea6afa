from __future__ import annotations

import random

import numpy as np
import pytest

from pipeline.text import minhash
from pipeline.text.minhash import BANDS, ROWS, band_keys, shingle_hashes, sketch, word_hashes

WORDS = [f"word{i}" for i in range(3000)]


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


def jaccard(a: str, b: str) -> float:
    return len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


def pairs(length: int, changes: int, number: int) -> list[tuple[str, str]]:
    """Pairs of documents that differ in about as many words as `changes`."""
    draw = random.Random(f"{length} {changes}")
    found = []
    for _ in range(number):
        words = draw.choices(WORDS, k=length)
        changed = list(words)
        for place in draw.sample(range(length), changes):
            changed[place] = draw.choice(WORDS)
        found.append((" ".join(words), " ".join(changed)))
    return found


def found_share(some: list[tuple[str, str]]) -> float:
    keys = band_keys([text for pair in some for text in pair])
    return float((keys[::2] == keys[1::2]).any(axis=1).mean())


@pytest.mark.parametrize(("length", "changes"), [(30, 1), (30, 3), (300, 8), (300, 20), (2000, 60)])
def test_signatures_estimate_the_exact_jaccard_similarity(length: int, changes: int) -> None:
    some = pairs(length, changes, 60)
    signatures = sketch(*shingle_hashes(*word_hashes([text for pair in some for text in pair])))
    estimates = (signatures[::2] == signatures[1::2]).mean(axis=1)
    errors = estimates - [jaccard(a, b) for a, b in some]
    # Independent hashes would err by at most sqrt(1 / 4 / 200) = 0.035.
    assert abs(errors.mean()) < 0.015
    assert errors.std() < 0.045


def test_near_duplicates_are_found_and_others_are_not() -> None:
    near, far = pairs(400, 4, 100), pairs(400, 60, 100)
    assert min(jaccard(*pair) for pair in near) > 0.88
    assert max(jaccard(*pair) for pair in far) < 0.45
    assert found_share(near) == 1
    assert found_share(far) <= 0.05
    middle = pairs(400, 12, 300)
    expected = np.mean([1 - (1 - jaccard(*pair) ** ROWS) ** BANDS for pair in middle])
    assert found_share(middle) == pytest.approx(expected, abs=0.1)


def test_case_punctuation_and_white_space_do_not_count() -> None:
    text = "It was a dark night, and nobody was to be seen. Then it rained."
    other = "IT was a\ndark night and nobody -- was to be seen! then it  rained"
    keys = band_keys([text, other, text + " Again it did."])
    np.testing.assert_array_equal(keys[0], keys[1])
    assert (keys[0] != keys[2]).any()


def test_documents_of_fewer_words_than_a_shingle_are_alike_only_if_the_same() -> None:
    keys = band_keys(["one two", "One, two.", "one two three", "two one", "one"])
    np.testing.assert_array_equal(keys[0], keys[1])
    assert not (keys[0] == keys[2:]).any()


def test_documents_without_words_are_like_themselves_alone() -> None:
    keys = band_keys(["...", "!!!", "", "...", "word"])
    np.testing.assert_array_equal(keys[0], keys[3])
    assert not any((keys[a] == keys[b]).any() for a, b in [(0, 1), (0, 2), (1, 2), (0, 4), (2, 4)])


def test_words_of_scripts_without_spaces_are_characters() -> None:
    words, splits = word_hashes(["漢字とかな。", "ab1 漢c", "हिन्दी में", "ไทย"])
    assert np.diff(splits).tolist() == [5, 3, 2, 3]
    assert words[0] == words[6]
    assert len(set(words.tolist())) == 12


def test_keys_do_not_depend_on_batches_or_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [text for pair in pairs(60, 3, 20) for text in pair] + ["", "漢字" * 200]
    whole = band_keys(documents)
    np.testing.assert_array_equal(np.concatenate([band_keys([document]) for document in documents]), whole)
    monkeypatch.setattr(minhash, "_BATCH_CHARS", 100)
    np.testing.assert_array_equal(band_keys(documents), whole)


def test_no_documents() -> None:
    assert band_keys([]).shape == (0, BANDS)


def test_keys_stay_those_of_earlier_versions() -> None:
    """A corpus that is made again drops the same documents."""
    keys = band_keys(["The quick brown fox jumps over the lazy dog, and then it sleeps.", "one two"])
    assert keys[:, [0, -1]].tolist() == [
        [2611095930859681742, 10743125878923066795],
        [14812148038820501784, 12226727558609455439],
    ]
