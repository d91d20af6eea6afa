from collections import Counter

import numpy as np
import pytest

from pipeline.tokenizers.learning.substring_trie import SubstringTrie, Words, build_trie


def columns(counts: dict[str, int]) -> tuple[Words, list[str]]:
    alphabet = sorted(set("".join(counts)))
    characters = np.array([alphabet.index(char) for word in counts for char in word], np.int64)
    row_splits = np.concatenate([[0], np.cumsum([len(word) for word in counts])])
    return Words(characters, row_splits, np.array(list(counts.values()), np.float64)), alphabet


def text(trie: SubstringTrie, node: int, alphabet: list[str]) -> str:
    if trie.parent[node] < 0:
        return ("" if node < len(alphabet) else "##") + alphabet[trie.character[node]]
    return text(trie, trie.parent[node], alphabet) + alphabet[trie.character[node]]


@pytest.mark.parametrize("min_count", [1, 3, 5])
@pytest.mark.parametrize("max_length", [1, 2, 9])
def test_holds_the_frequent_substrings(min_count: int, max_length: int) -> None:
    counts = {"banana": 2, "band": 3, "nab": 1, "a": 4, "dab": 1}
    words, alphabet = columns(counts)
    trie = build_trie(words, alphabet_size=len(alphabet), min_count=min_count, max_length=max_length)
    expected: Counter[str] = Counter()
    for word, count in counts.items():
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + max_length) + 1):
                expected[("##" if start else "") + word[start:end]] += count
    frequent = {piece for piece, count in expected.items() if count >= min_count}
    single = {mark + char for char in alphabet for mark in ("", "##")}
    texts = [text(trie, node, alphabet) for node in range(len(trie.parent))]
    assert len(texts) == len(set(texts))
    assert set(texts) == frequent | single
    assert trie.length.tolist() == [len(piece.removeprefix("##")) for piece in texts]
    assert [trie.length[level].tolist() for level in trie.levels()] == [
        [d + 1] * (level.stop - level.start) for d, level in enumerate(trie.levels())
    ]
    place = 0
    for word in counts:
        for start in range(len(word)):
            longest = next(
                piece
                for end in range(len(word), start, -1)
                if (piece := ("##" if start else "") + word[start:end]) in set(texts)
            )
            assert texts[trie.deepest[place]] == longest
            place += 1


def test_adds_to_parents() -> None:
    words, alphabet = columns({"ab": 1, "ac": 1, "ba": 1})
    trie = build_trie(words, alphabet_size=3, min_count=1, max_length=2)
    totals = np.zeros(len(trie.parent))
    trie.add_to_parents(trie.levels()[1], np.array([1.0, 2.0, 4.0]), totals)
    by_text = {text(trie, node, alphabet): total for node, total in enumerate(totals.tolist())}
    assert {piece: total for piece, total in by_text.items() if total} == {"a": 3.0, "b": 4.0}
