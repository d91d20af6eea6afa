from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.wordpiece import cut_word

from pipeline.tokenizers.pieces import MAX_WORD_CHARS, Pieces

PIECES = st.text("abé漢", min_size=1, max_size=4)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=8), st.lists(PIECES, max_size=8), st.lists(st.text("abé漢", min_size=1), max_size=20))
def test_pieces_are_those_of_the_loop_in_python(begin: list[str], go_on: list[str], words: list[str]) -> None:
    tokens = list(dict.fromkeys(["[UNK]", *begin, *(f"##{piece}" for piece in go_on), "##"]))
    ids, splits = Pieces(tokens, unknown_id=0).cut(words)
    expected = [cut_word(word, {token: index for index, token in enumerate(tokens)}, 0) for word in words]
    assert [ids[start:end].tolist() for start, end in itertools.pairwise(splits)] == expected


def test_the_longest_word_that_is_known() -> None:
    pieces = Pieces(["[UNK]", "é", "##é"], unknown_id=0)
    ids, splits = pieces.cut(["é" * MAX_WORD_CHARS, "é" * (MAX_WORD_CHARS + 1), "éa", "é"])
    assert splits.tolist() == [0, MAX_WORD_CHARS, MAX_WORD_CHARS + 1, MAX_WORD_CHARS + 2, MAX_WORD_CHARS + 3]
    assert ids.tolist() == [1, *[2] * (MAX_WORD_CHARS - 1), 0, 0, 1]
