from __future__ import annotations

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.text_ops.characters import CharacterMap, FinalSigma, decode, encode

SIGMA = FinalSigma()
LOWER = CharacterMap(str.lower)


@settings(max_examples=100)
@given(st.lists(st.text("ΣΣΣaΑ 1'.\u0301\u00ad\u0345\u2c7cǅ漢"), min_size=1, max_size=6))
def test_lower_case_is_that_of_python(texts: list[str]) -> None:
    found = encode(LOWER(SIGMA(decode(tf.constant(texts)))))
    assert [text.decode() for text in found.numpy()] == [text.lower() for text in texts]


def test_a_character_becomes_none_one_or_many() -> None:
    table = CharacterMap(lambda char: {"a": "", "b": " b ", "ﬁ": "fi", "\U0010ffff": "x"}.get(char, char))
    found = encode(table(decode(tf.constant(["", "aa", "abﬁ\U0010ffff", "漢"]))))
    assert [text.decode() for text in found.numpy()] == ["", "", " b fi\U0010ffff", "漢"]
