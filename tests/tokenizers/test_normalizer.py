from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tokenizers.normalizer import (
    BertNormalizer,
    basic_tokenize,
    is_cjk,
    is_control,
    is_punctuation,
    is_whitespace,
    strip_accents,
)

Words = Callable[[str, bool], list[str]]
SURROGATES = st.lists(st.sampled_from(["\ud800", "\udfff", "\ude00", "a", "Σ", " ", "漢"]), max_size=8).map("".join)


def check_words(reference_words: Words, text: str, lower_case: bool) -> None:
    expected = reference_words(text, lower_case)
    assert basic_tokenize(text, lower_case=lower_case) == expected
    assert BertNormalizer(lower_case=lower_case).words(text) == expected


@settings(max_examples=400)
@given(st.data(), st.booleans())
def test_words_are_berts(
    reference_words: Words, any_text: st.SearchStrategy[str], data: st.DataObject, lower_case: bool
) -> None:
    check_words(reference_words, data.draw(any_text), lower_case)


@pytest.mark.parametrize(
    "text", ["ὈΔΥΣΣΕΎΣ Σ. ΑΣ ΑΣ.", "á\u0323\u0903\u0301", "x\U0001d16d\U0001d165", "a\u302e\U00016ff0b", ""]
)
def test_what_depends_on_the_neighbours(reference_words: Words, text: str) -> None:
    for lower_case in (False, True):
        check_words(reference_words, text, lower_case)


@given(SURROGATES, st.booleans())
def test_half_a_surrogate_pair_is_no_text(reference_words: Words, text: str, lower_case: bool) -> None:
    expected = reference_words("".join(c for c in text if not 0xD800 <= ord(c) <= 0xDFFF), lower_case)
    assert basic_tokenize(text, lower_case=lower_case) == expected
    assert BertNormalizer(lower_case=lower_case).words(text) == expected
    for normalized in BertNormalizer(lower_case=lower_case).normalize([text]):
        normalized.encode("utf-8")


@pytest.mark.parametrize("lower_case", [False, True])
def test_every_kind_of_character_between_letters(reference_words: Words, lower_case: bool) -> None:
    normalizer = BertNormalizer(lower_case=lower_case)
    # Of the large uniform ranges (ideographs, Hangul, private use, unassigned) only a few.
    uniform = ("Lo", "Co", "Cn")
    codes = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in uniform or c < 0x3400 or c % 97 == 0]
    texts = [f"x{chr(code)}Y" for code in codes]
    assert [normalizer.words(text) for text in texts] == [reference_words(text, lower_case) for text in texts]


def test_the_published_examples() -> None:
    """From the tests and the README of google-research/bert."""
    assert basic_tokenize(" \tHeLLo!how  \n Are yoU?  ", lower_case=True) == ["hello", "!", "how", "are", "you", "?"]
    assert basic_tokenize(" \tHeLLo!how  \n Are yoU?  ", lower_case=False) == ["HeLLo", "!", "how", "Are", "yoU", "?"]
    assert basic_tokenize("H\u00e9llo", lower_case=True) == ["hello"]
    assert basic_tokenize("ah\u535a\u63a8zz", lower_case=True) == ["ah", "\u535a", "\u63a8", "zz"]
    assert basic_tokenize("John Johanson's, ", lower_case=True) == ["john", "johanson", "'", "s", ","]


def test_normalizing_keeps_the_number_of_sentences() -> None:
    sentences = ["A.", "", " ", "Ünï", "漢字", "\x00", "ΑΣ"]
    normalized = BertNormalizer(lower_case=True).normalize(sentences)
    assert len(normalized) == len(sentences)
    assert [text.split() for text in normalized] == [["a."], [], [], ["uni"], ["漢", "字"], [], ["ας"]]


def test_what_was_met_before_changes_nothing() -> None:
    """The tables grow with the characters met; a sentence gives the same in any company."""
    sentences = ["ὈΔΥΣΣΕΎΣ", "σς", "Σ", "á\u0323\u0903", "naïve Σ漢", "x\u200dy"]
    alone = [BertNormalizer(lower_case=True).words(sentence) for sentence in sentences]
    for order in (sentences, sentences[::-1]):
        normalizer = BertNormalizer(lower_case=True)
        together = {sentence: normalizer.words(sentence) for sentence in order}
        assert [together[sentence] for sentence in sentences] == alone


def test_kinds_of_characters() -> None:
    assert all(map(is_whitespace, " \t\n\r\xa0\u3000"))
    assert not any(map(is_whitespace, "\x0b\u2028a\u200b"))
    assert all(map(is_control, "\x00\x0b\x7f\x85\xad\u200b\ufeff\ufffd\ud800"))
    assert not any(map(is_control, "\t\n\ra\ue000\U0010ffff"))
    assert all(map(is_punctuation, "!$+<^`|~_-。«»…"))
    assert not any(map(is_punctuation, "aé09€©²½ "))
    assert all(map(is_cjk, "一鿿㐀䶿𠀀豈"))
    assert not any(map(is_cjk, "かカ한々〇、"))
    assert strip_accents("éñạ̈ßı") == "enaßı"
