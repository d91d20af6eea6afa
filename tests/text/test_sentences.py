from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rained.", "Nobody came!", "Was it over?", "It was."],
        ["He said: “It is over.”", "Then he left.", "(Nobody saw him.)", "It was late."],
        ['"Is it?" he asked.', '"It is!"', "She nodded…", "They left."],
        ["Mr. Brown and Dr. A. B. Smith of St. Ives met on Jan. 5 at 3.30 p.m. in Washington."],
        ["See Fig. 3 and eq. 7, i.e. the U.S. Navy's.", "Then go on."],
        ["It cost 3.50 dollars.", "12 were sold."],
        ["Wait... what is this?", "Nothing."],
        ["A sentence ends here.", "¿Y ahora?", "«Rien.»", "Ende."],
        ["一つ目です。", "「二つ目です。」", "三つ目！", "終わり"],
        ["यह एक वाक्य है।", "यह दूसरा है॥", "अंत"],
        ["هل هذا سؤال؟", "نعم۔", "لا"],
        ["No stop at all"],
        ["Version 2.0 of file.txt is at example.org now."],
        ["He went to New York City.", "I stayed."],
    ],
)
def test_sentences_are_found(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


def test_scripts_without_spaces() -> None:
    assert split_sentences("これは文です。これも文です！本当？はい。") == [
        "これは文です。",
        "これも文です！",
        "本当？",
        "はい。",
    ]


def test_no_sentence_spans_two_paragraphs() -> None:
    assert split_sentences("A heading\nIt begins\nand goes on. And on.\n\nMr.\nBrown") == [
        "A heading",
        "It begins",
        "and goes on.",
        "And on.",
        "Mr.",
        "Brown",
    ]


@pytest.mark.parametrize("text", ["", " ", "\n", " \n\t\n "])
def test_white_space_is_no_sentence(text: str) -> None:
    assert split_sentences(text) == []


STOPS = ["。", "！", "。」", "।", "؟", "... ", "Mr. ", "i.e. ", "A. "]
ALPHABET = [*STOPS, *"aZ0_ \n\t.!?…\"'”’)]»（）「」", "\u2028", "\x1c", "\x85", "é"]


@given(st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join) | st.text())
def test_nothing_but_white_space_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    for sentence in sentences:
        assert sentence
        assert sentence == sentence.strip()
        assert "\n" not in sentence
        assert sentence in text  # A sentence stands in the text as it is.


def test_splitting_again_changes_nothing() -> None:
    text = "It rained. Mr. Brown came! Was it over? “It was.” He left. 一つ。二つ。"
    once = split_sentences(text)
    assert [part for sentence in once for part in split_sentences(sentence)] == once
    assert len(once) == 7


def test_time_grows_with_length_alone() -> None:
    """Runs of what the patterns look for do not make them look again and again."""
    for unit in (".", '"', ". ", "?!", "。", " ", '."', "a.", "(("):
        assert "".join(split_sentences(unit * 100_000)).replace(" ", "") == unit.strip() * 100_000
