from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tokenizers import chunks as chunks_module
from pipeline.tokenizers.chunks import Chunks, encoded


def chunks_since(chunks: Chunks, first: int) -> list[str]:
    data, splits = chunks.since(first)
    return [data[i:j].tobytes().decode("utf-8", "surrogatepass") for i, j in itertools.pairwise(splits)]


def cut(chunks: Chunks, texts: list[str]) -> list[list[str]]:
    numbers, splits = chunks.number(*encoded(texts))
    known = chunks_since(chunks, 0)
    return [[known[n] for n in numbers[start:end]] for start, end in itertools.pairwise(splits)]


def test_where_chunks_end() -> None:
    texts = ["The ship's\tname,", "", " \n", "a\x01b c", "漢字x，é\xa0\u3000y", "😀\U00020000b\ud800c\u2028"]
    assert cut(Chunks(), texts) == [
        ["The", "ship", "'", "s", "name", ","],
        [],
        [],
        ["a\x01b", "c"],
        ["漢", "字", "x", "，", "é", "y"],
        ["😀", "\U00020000", "b\ud800c"],
    ]


def test_a_chunk_ends_where_its_text_does() -> None:
    assert cut(Chunks(), ["ab", "c", "ab"]) == [["ab"], ["c"], ["ab"]]


@settings(max_examples=200)
@given(st.lists(st.lists(st.text("ab é漢.😀", max_size=30), max_size=5), max_size=5))
def test_numbers_stand_for_the_same_chunks_from_call_to_call(calls: list[list[str]]) -> None:
    chunks, known = Chunks(), list[str]()
    for texts in calls:
        before = len(chunks)
        found = cut(chunks, texts)
        assert found == cut(Chunks(), texts)
        fresh = chunks_since(chunks, before)
        assert not set(fresh) & set(known)
        assert len(set(fresh)) == len(fresh)
        known += fresh
        assert {chunk for text in found for chunk in text} <= set(known)
        assert "".join(itertools.chain(*found)) == "".join("".join(texts).split())


def test_room_is_made_for_many_chunks_and_for_long_ones() -> None:
    chunks = Chunks()
    words = [f"w{i}" for i in range(3 * chunks_module._LEAST_SLOTS)]
    texts = [" ".join(words), "x" * (9 * chunks_module._LEAST_SLOTS), "w7 w0"]
    numbers, splits = chunks.number(*encoded(texts))
    assert len(chunks) == len(words) + 1
    np.testing.assert_array_equal(numbers, [*range(len(words) + 1), 7, 0])
    assert splits.tolist() == [0, len(words), len(words) + 1, len(words) + 3]
    assert chunks_since(chunks, len(words)) == [texts[1]]
