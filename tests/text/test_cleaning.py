from __future__ import annotations

import dataclasses
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.cleaning import PRESETS, clean_document, cleaning_rules, letter_share, repeated_share
from pipeline.text.reading.document import Document, TextCounts

DEFAULT, STRICT, NONE = PRESETS["default"], PRESETS["strict"], PRESETS["none"]


def clean(document: str, rules: object = DEFAULT, *, drop_bad_text: bool = False) -> tuple[str | None, dict[str, int]]:
    counts = TextCounts()
    read = Document(document, "a.txt", "document 3")
    cleaned = clean_document(read, rules, drop_bad_text=drop_bad_text, counts=counts)  # type: ignore[arg-type]
    return cleaned and cleaned.text, dict(counts)


@pytest.mark.parametrize(
    "document",
    [
        "A document.\nIts second paragraph.",
        "x",
        "Ein „Dokument“ – schön.",
        "漢字とかな。",
        "हिन्दी में लिखा हुआ",
        "한국어",
        "ภาษาไทย",
        "In 1990 came 12, 13, 14, 15, 16.",
        "Tab\tand no-break\xa0space\u200d.",
        "ha " * 50,
    ],
)
def test_nearly_everything_is_kept_as_it_is(document: str) -> None:
    assert clean(document) == (document, {})
    assert clean(document, NONE) == (document, {})


# === What is replaced ===


def test_what_is_not_utf8_is_replaced_or_dropped_and_counted() -> None:
    document = "Caf\udce9 \ud83d."
    counts = {"bad_text_documents": 1, "characters_replaced": 2}
    for rules in (NONE, DEFAULT):
        assert clean(document, rules) == ("Caf\ufffd \ufffd.", counts)
        assert clean(document, rules, drop_bad_text=True) == (None, {"bad_text_documents": 1, "dropped/bad_text": 1})
    # What was written so, and Hangul, whose bytes begin as surrogates' do.
    assert clean("Caf\ufffd 힣", drop_bad_text=True) == ("Caf\ufffd 힣", {})


def test_control_characters_are_removed_or_become_spaces() -> None:
    document = "\ufeffA\x00 pa\x7fge\x0cbreak\u2028and\x85so\x9f on\ufeff.\n\x00\n \x1f \nB\x1b."
    assert clean(document) == ("A page break and so on.\nB.", {"characters_removed": 7})
    assert clean(document, NONE) == (document, {})
    assert clean("plain\x00 ASCII") == ("plain ASCII", {"characters_removed": 1})


def test_characters_are_composed() -> None:
    assert clean("Cafe\u0301 \u212b") == ("Café Å", {"documents_composed": 1})
    assert clean("Cafe\u0301", NONE) == ("Cafe\u0301", {})


CHARACTERS = st.sampled_from(
    [*"aB1 .\n\x00\x0c\x85\u2028\ufeff\u0301\u0323é漢\U0001f600\ud800\udcff가", "\u1100\u1161"]
)


@given(st.lists(CHARACTERS, max_size=30).map("".join) | st.text())
def test_clean_text_is_clean(document: str) -> None:
    document = "\n".join(filter(None, map(str.strip, document.split("\n"))))
    cleaned, counts = clean(document)
    if cleaned is None:
        assert sum(value for key, value in counts.items() if key.startswith("dropped/")) == 1
        return
    assert cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t" for c in cleaned)
    assert cleaned.split("\n") == [line.strip() for line in cleaned.split("\n") if line.strip()]
    assert clean(cleaned) == (cleaned, {})
    # Letters are as they were.
    before, after = (unicodedata.normalize("NFD", text) for text in (document, cleaned))
    assert [c for c in after if c.isalpha()] == [c for c in before if c.isalpha()]


# === What is dropped ===

PARAGRAPH = "A paragraph of a document that is long enough to be kept by every rule there is. "


@pytest.mark.parametrize(
    ("document", "rules", "reason"),
    [
        ("", NONE, "empty"),
        ("\x00\ufeff", DEFAULT, "empty"),
        ("1 2 3 4 . 5 6 7 8 9", DEFAULT, "few_letters"),
        ("► ▼ ████ 😀😀", DEFAULT, "few_letters"),
        ("\n".join(["Same."] * 20), DEFAULT, "repeated_lines"),
        ("Short.", STRICT, "too_short"),
        (PARAGRAPH + "1234567890 " * 10, STRICT, "few_letters"),
        ("\n".join([PARAGRAPH, PARAGRAPH]), STRICT, "repeated_lines"),
        (PARAGRAPH, cleaning_rules("default", max_chars=80), "too_long"),
        (PARAGRAPH, cleaning_rules("none", min_chars=100), "too_short"),
    ],
)
def test_each_drop_has_its_reason(document: str, rules: object, reason: str) -> None:
    cleaned, counts = clean(document, rules)
    assert cleaned is None
    assert counts.pop(f"dropped/{reason}") == 1
    assert set(counts) <= {"characters_removed"}


def test_what_is_just_within_the_limits_is_kept() -> None:
    assert clean(PARAGRAPH * 2, STRICT)[0] is not None
    assert clean("a 1 2 3 4 5 6 7 8 9")[0] is not None
    assert clean("\n".join(["Same."] * 10))[0] is not None
    assert clean("12345", cleaning_rules("none", min_chars=5, max_chars=5))[0] == "12345"
    assert cleaning_rules("strict") == STRICT
    assert cleaning_rules("strict", max_chars=5) == dataclasses.replace(STRICT, max_chars=5)


@given(st.lists(st.sampled_from(["Same.", "line", "12 34 56", "é 1", "漢字", "हि", ""]), min_size=1, max_size=40))
def test_documents_are_dropped_by_their_shares(lines: list[str]) -> None:
    document = "\n".join(filter(None, lines))
    for rules in (DEFAULT, dataclasses.replace(STRICT, min_chars=1)):
        cleaned, _ = clean(document, rules)
        few_letters = letter_share(document) < rules.min_letter_share
        many_repeated = repeated_share(document) > rules.max_repeated_share
        assert (cleaned is None) == (not document or many_repeated or few_letters)


def test_shares() -> None:
    assert repeated_share("ab\ncd") == 0
    assert repeated_share("ab\ncdef\nab\nab") == pytest.approx(4 / 10)
    assert letter_share("ab 1\n.") == 1 / 2
    assert letter_share("हिन्दी") == 1  # Four of its six characters are marks.
    assert letter_share("漢字。😀") == 1 / 2
    assert letter_share(" \n") == 0
