"""Distinguishes English prose from similar text: signatures, lists of names, formulas, licences."""

from __future__ import annotations

import re
from collections import Counter

MIN_WORDS = 5  # Shorter paragraphs are nearly always labels or signatures.
MIN_PLAIN_SHARE = 0.8  # Share of plain words: prose reaches 0.9, lists of identifiers stay below 0.7.
MIN_FUNCTION_SHARE = 0.12  # Share of words such as "the", "of", "is": about 0.4 in English, near 0 in lists of names.

_URL = re.compile(r"(?:https?|ftp)://|www\.")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z])")
_PLAIN_WORD = re.compile(
    r"[(\"'“‘\[]*"
    r"(?:[A-Za-z]?[a-z]+|I|A|[A-Z]+s?)(?:[-'’/][A-Za-z]+)*"  # Not camelCase, snake_case, 1x1.
    r"[)\"'”’\]]*[.,:;!?]*[)\"'”’]*$"
)
_FUNCTION_WORDS = frozenset(
    """
    a about after all also an and any are as at be because been before being but by can could do does each for from
    had has have how if in into is it its may might more must no not of on one only or other over should so some
    such than that the their them then there these they this to two under until up was we were what when where
    whether which while who will with would you your
    """.split()
)
_LICENCE = re.compile(
    r"copyright (?:\(c\)|©|\d)|all rights reserved|licensed under|permission is hereby|redistribution and use"
    r"|without warrant|apache license|merchantability",
    re.IGNORECASE,
)


def why_not_prose(paragraph: str) -> str:
    """Returns the reason why a paragraph is not useful English prose, or "" if it is."""
    words = paragraph.split()
    if len(words) < MIN_WORDS:
        return "too short"
    if _LICENCE.search(paragraph):
        return "licence"
    if sum(map(bool, map(_PLAIN_WORD.match, words))) < MIN_PLAIN_SHARE * len(words):
        return "mostly symbols"
    stripped = (word.strip("(),.:;!?\"'").lower() for word in words)
    if sum(map(_FUNCTION_WORDS.__contains__, stripped)) < MIN_FUNCTION_SHARE * len(words):
        return "not English sentences"
    return ""


def without_urls(paragraph: str, dropped: Counter[str]) -> str:
    """Removes sentences that contain a URL: "see https://..." teaches a vocabulary only punctuation."""
    if not _URL.search(paragraph):
        return paragraph
    sentences = _SENTENCE_END.split(paragraph)
    kept = [sentence for sentence in sentences if not _URL.search(sentence)]
    dropped["sentence with a URL"] += len(sentences) - len(kept)
    return " ".join(kept)


def punctuated(paragraph: str) -> str:
    """Adds a full stop to a paragraph that does not end in punctuation, as is frequent in list items."""
    if paragraph and paragraph[-1] not in ".!?:;\"'”)":
        return paragraph.rstrip(",") + "."
    return paragraph
