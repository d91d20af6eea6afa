"""Cleans documents, and drops those of low quality, counting the reasons.

The rules are independent of language: they look at characters and lines, never at words.
"""

from __future__ import annotations

import dataclasses
import re
import string
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np

from pipeline.text.characters import code_points, letters
from pipeline.text.reading.document import Document, TextCounts

# Control characters that separate words: they become spaces.
_SEPARATING = re.compile("[\x0b\x0c\x1c-\x1f\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# The characters of `_CONTROL` by how they are found fastest: in ASCII, in UTF-8, and by themselves.
_ASCII_CONTROL = bytes({*range(0x20), 0x7F} - {*b"\t\n"})
_C1_CONTROL = re.compile(b"\xc2[\x80-\x9f]")
_OTHER_CONTROL = "\ufeff\u2028\u2029"
# A share of a document is first looked for in a beginning that is longer than the share by this factor.
_ENOUGH = 2
_NOT_ASCII_LETTERS = bytes({*range(256)} - {*string.ascii_letters.encode()})


@dataclass(frozen=True)
class CleaningRules:
    """Rules that decide how documents are cleaned and which are dropped.

    Attributes:
        summary: a short description of the rules.
        normalize: whether to remove control characters and byte order marks, and to compose characters (Unicode's NFC).
        min_chars: shorter documents are dropped, "too_short".
        max_chars: longer documents are dropped, "too_long"; 0 for no limit.
        max_repeated_share: documents with a larger share of characters in repeated lines are dropped, "repeated_lines".
        min_letter_share: documents with a smaller share of letters (and marks, such as the vowel signs of Indic
            scripts) among their characters other than white space are dropped, "few_letters".
    """

    summary: str
    normalize: bool
    min_chars: int
    max_chars: int
    max_repeated_share: float
    min_letter_share: float


PRESETS = {
    "none": CleaningRules("keep text as it is", False, 1, 0, 1.0, 0.0),
    "default": CleaningRules(
        "remove control characters, compose characters (NFC), and drop documents with less than 10 % letters or with"
        " over 90 % repeated lines",
        True,
        1,
        0,
        0.9,
        0.1,
    ),
    # Similar to the limits of Rae et al., 2021, "Scaling language models" (Gopher), table A1, which count words.
    "strict": CleaningRules(
        "also drop documents with fewer than 100 characters, less than 60 % letters, or over 30 % repeated lines",
        True,
        100,
        0,
        0.3,
        0.6,
    ),
}


def cleaning_rules(preset: str, *, min_chars: int | None = None, max_chars: int | None = None) -> CleaningRules:
    """Returns the rules of a preset, with custom limits.

    Args:
        preset: a key of `PRESETS`.
        min_chars: minimum characters of a document; None for the preset's.
        max_chars: maximum characters of a document; None for the preset's.
    """
    rules = PRESETS[preset]
    return dataclasses.replace(
        rules,
        min_chars=rules.min_chars if min_chars is None else min_chars,
        max_chars=rules.max_chars if max_chars is None else max_chars,
    )


def clean_document(
    document: Document, rules: CleaningRules, *, drop_bad_text: bool, counts: TextCounts
) -> Document | None:
    """Cleans a document.

    Args:
        document: one paragraph or sentence per line; bytes that are not valid UTF-8 are surrogates (`surrogateescape`).
        rules: the cleaning rules.
        drop_bad_text: whether to drop a document with surrogates; otherwise, U+FFFD replaces them.
        counts: gets "bad_text_documents", "characters_replaced" (by U+FFFD), "characters_removed" (control characters),
            "documents_composed" (changed by NFC), and "dropped/..." with the reason for dropping a document:
            "bad_text", "empty", "too_short", "too_long", "repeated_lines", "few_letters".

    Returns:
        The cleaned document, or None if it is dropped.
    """
    text = document.text
    data = text.encode("utf-8", "surrogatepass")
    # Every surrogate begins with this byte; apart from Korean, few other characters do.
    if b"\xed" in data and (surrogates := len(_SURROGATE.findall(text))):
        counts["bad_text_documents"] += 1
        if drop_bad_text:
            counts.drop(document, "bad_text")
            return None
        counts["characters_replaced"] += surrogates
        text = _SURROGATE.sub("\ufffd", text)
        data = text.encode()
    if rules.normalize:
        normalized = _normalized(text, data, counts)
        if normalized is not text:
            text, data = normalized, normalized.encode()
    if reason := _reason_to_drop(text, data, rules):
        counts.drop(document, reason)
        return None
    return document._replace(text=text)


def _normalized(document: str, data: bytes, counts: Counter[str]) -> str:
    """Removes control characters and applies NFC; returns the same object if nothing changed."""
    if _has_control(document, data):
        before = len(document)
        document = _CONTROL.sub("", _SEPARATING.sub(" ", document))
        counts["characters_removed"] += before - len(document)
        document = "\n".join(filter(None, map(str.strip, document.split("\n"))))
    if not unicodedata.is_normalized("NFC", document):
        document = unicodedata.normalize("NFC", document)
        counts["documents_composed"] += 1
    return document


def _has_control(document: str, data: bytes) -> bool:
    """Returns whether `_CONTROL` occurs in a document, given its UTF-8 as well."""
    if len(data.translate(None, _ASCII_CONTROL)) < len(data):
        return True
    if document.isascii():
        return False
    return _C1_CONTROL.search(data) is not None or any(character in document for character in _OTHER_CONTROL)


def _reason_to_drop(document: str, data: bytes, rules: CleaningRules) -> str:
    if not document:
        return "empty"
    if len(document) < rules.min_chars:
        return "too_short"
    if rules.max_chars and len(document) > rules.max_chars:
        return "too_long"
    if rules.max_repeated_share < 1 and _has_many_repeated_lines(document, rules.max_repeated_share):
        return "repeated_lines"
    if rules.min_letter_share and _has_few_letters(document, data, rules.min_letter_share):
        return "few_letters"
    return ""


def repeated_share(document: str) -> float:
    """Returns the share of a document's characters in lines that repeat an earlier line."""
    lines = document.split("\n")
    first = set(lines)
    if len(first) == len(lines):
        return 0.0
    return 1 - sum(map(len, first)) / max(1, sum(map(len, lines)))


def _has_many_repeated_lines(document: str, most: float) -> bool:
    """Returns whether `repeated_share` is above `most`; different lines at the beginning usually decide it."""
    beginning = document[: int(_ENOUGH * (1 - most) * len(document))]
    different = sum(map(len, set(beginning.split("\n")[:-1])))
    enough = 1 - different / max(1, len(document) - document.count("\n")) <= most
    return not enough and repeated_share(document) > most


def letter_share(document: str) -> float:
    """Returns the share of letters and marks among a document's characters other than spaces and line ends."""
    visible = len(document) - document.count(" ") - document.count("\n")
    return np.count_nonzero(letters()[code_points(document)]) / visible if visible else 0.0


def _has_few_letters(document: str, data: bytes, least: float) -> bool:
    """Returns whether `letter_share` is below `least`; ASCII letters at the beginning usually decide it."""
    beginning = data[: int(_ENOUGH * least * len(document))]
    enough = len(beginning.translate(None, _NOT_ASCII_LETTERS)) >= least * len(document)
    return not enough and letter_share(document) < least
