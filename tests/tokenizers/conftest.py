"""BERT's way to words, written out once more: what both the normaliser and the tokenizer are tested against."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

# Text of all planes, and again and again of what is special.
_SPECIAL = [
    *" \t\n\r\x00\x0b\x0c\x1c\x1f\x7f\x85\xa0\xad\u1680\u2028\u2029\u200b\u200d\u3000\ufeff\ufffd",
    *"aZ09_-.,!?'\"$+<>^`|~[]()",
    *"éÉßẞİıſﬁŉΣσςΐΰǅ\u0300\u0301\u0323\u0345\u0903\u302e\u302f\u20dd\U00016ff0\U0001d165",
    *"漢㐀𠀀豈〇、。「」한ㄱかカｶ々",
    *"😀👩\U0001f468\u200d\U0001f469️🏽🇩🇪",
    *"«»„“”’¿¡·;`´¨²½™₤€§",
    "ΑΣ",
    "x\u0301\u0323",
    "한글",
    "\U000e0001",
    "\U0010ffff",
    "\ue000",
    "[MASK]",
    "##s",
]
_TEXT = st.lists(st.sampled_from(_SPECIAL) | st.characters(), max_size=30).map("".join)


def _reference_words(text: str, lower_case: bool) -> list[str]:
    """BERT's words, as google-research/bert describes them (README.md, "Tokenization"; comments of tokenization.py).

    Invalid and control characters go, all white space is a space, ideographs stand alone, lower case without accents,
    punctuation stands alone. Half a surrogate pair is no character, so it goes as well.
    """
    words = [""]
    for char in text:
        category = unicodedata.category(char)
        if char in "\t\n\r" or category == "Zs":
            words.append("")
        elif char == "\ufffd" or category in ("Cc", "Cf", "Cs"):
            continue
        elif _is_ideograph(char):
            words += [char, ""]
        else:
            words[-1] += char
    found: list[str] = []
    for word in " ".join(words).split():
        if lower_case:
            word = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
        begins = True
        for char in word:
            alone = unicodedata.category(char)[0] == "P" or (char.isascii() and not char.isalnum())
            if alone or begins:
                found.append("")
            found[-1] += char
            begins = alone
    return [word for word in " ".join(found).split() if word]


# Blocks.txt of Unicode: CJK Unified Ideographs, their extensions A to E, and both blocks of compatibility ideographs.
_IDEOGRAPHS = "3400-4DBF 4E00-9FFF F900-FAFF 20000-2A6DF 2A700-2B73F 2B740-2B81F 2B820-2CEAF 2F800-2FA1F"
_IDEOGRAPH_BLOCKS = [tuple(int(end, 16) for end in block.split("-")) for block in _IDEOGRAPHS.split()]


def _is_ideograph(char: str) -> bool:
    return char > "\u3000" and any(first <= ord(char) <= last for first, last in _IDEOGRAPH_BLOCKS)


@pytest.fixture(scope="session")
def reference_words() -> Callable[[str, bool], list[str]]:
    """BERT's words of a text, lower-cased or not."""
    return _reference_words


@pytest.fixture(scope="session")
def any_text() -> st.SearchStrategy[str]:
    """Texts to draw, of all that Unicode has."""
    return _TEXT
