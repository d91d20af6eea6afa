"""Splitting text into sentences by rules, at the speed of a compiled regular expression.

One pattern finds where a sentence may end: each of its matches begins with one of a few characters, for which the
regular expression engine looks without trying anything else. What is left to Python is about one decision a sentence.
"""

from __future__ import annotations

import re

from pipeline.text.abbreviations import AFTER_ORDINAL, ANYWHERE, BEFORE_ANY_WORD, BEFORE_NUMBER, SENTENCE_STARTERS

_CLOSERS = r"\"'”’»›)\]_*」』】》〉）］"
# Stops of scripts that put no space between sentences, or whose stop has no other use: Devanagari and its kin, Urdu,
# Arabic, Armenian, Ethiopic, Burmese, Khmer, Tibetan, Mongolian.
_OTHER_STOPS = "।॥۔؟։።፧፨။។៕།༎᠃"
_CJK_STOPS = "。！？｡"
_SPACE = r"[^\S\n]"  # White space within a line.
_POSSIBLE_END = re.compile(
    rf"[\n.!?…;．{_CJK_STOPS}{_OTHER_STOPS}](?:"
    # A line ends.
    r"(?<=\n)"
    # A stop, what closes quotations, brackets or emphasis, references such as [12], white space; then, behind what
    # opens them or a dash of dialogue, no lower-case letter.
    rf"|(?<=[.!?…])[{_CLOSERS}“‘]*(?:{_SPACE}[»›])?(?:\[\d+\])*{_SPACE}+"
    rf"(?=(?:[—–«‹-]{_SPACE})?(?:[^\w\s.,;:!?…]|_(?!_))*([^\W_a-z]|__))"
    # Chinese and Japanese; but speech is part of the sentence that goes on behind it: 「…。」と言った。
    rf"|(?<=[{_CJK_STOPS}])[{_CJK_STOPS}!?]*(?:[{_CLOSERS}]+(?!\s*[とっ、，]))?\s*(?=[^\s{_CLOSERS}])"
    r"|(?<=[぀-ヿ㐀-鿿]．)\s*(?=[^\s\d])"
    rf"|(?<=[{_OTHER_STOPS}])[!?.…{_CLOSERS}{_OTHER_STOPS}]*\s*(?=\S)"
    # Greek's question mark.
    rf"|(?<=[Ͱ-Ͽἀ-῿];)[{_CLOSERS}]*{_SPACE}+(?=[{_CLOSERS}«“‘(]*[Α-ΫἈ-Ῥ])"
    r")"
)
_LAST_WORD = re.compile(r"(?:[^\W\d_]|\.)+$")
_NEXT_WORD = re.compile(r"[\W_]*([^\W_]+)")
_LETTER_AND_STOP = re.compile(r"[^\W\d_]\.")
_NUMBER = re.compile(r"[\W_]*(?:\d|(?:[IVXLC]{2,}|[VXLC])\b)")  # "I" is a word.
_INITIALS = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}$")  # Behind "U.S", "p.m", "Ph.D"; not "file.txt".
_ROMAN = "(?=[ivx])x{0,3}(?:ix|iv|v?i{0,3})"  # 1 to 39.
_ENUMERATOR = re.compile(rf"(?:\d{{1,3}}|{_ROMAN}|{_ROMAN.upper()}|[^\W\d_ᄀ-\U0010ffff])$")
_LONGEST_LOOK_BACK = 24
_OPENERS = "\"'“‘«‹([—–-_*„¿¡"


def split_sentences(document: str) -> list[str]:
    """Splits a document into sentences.

    A full stop, question or exclamation mark before white space ends one unless a lower-case letter follows. A full
    stop does not behind an abbreviation (see `pipeline.text.abbreviations`), an initial, an ordinal, or the number of
    an item. The stops of Chinese, Japanese, Hindi, Urdu and other scripts end a sentence wherever they stand.

    Args:
        document: text whose lines are paragraphs; no sentence spans two of them.

    Returns:
        The sentences, stripped of white space around them; none is empty. Together they hold every character of the
        document but white space between sentences.
    """
    sentences = []
    start = 0
    for match in _POSSIBLE_END.finditer(document):
        following = match[1]
        if following is not None and (
            following.islower()
            or (document[match.start()] == "." and not _stop_ends_sentence(document, start, match.start(), match.end()))
        ):
            continue
        end = match.end()
        if sentence := document[start:end].strip():
            sentences.append(sentence)
        start = end
    if sentence := document[start:].strip():
        sentences.append(sentence)
    return sentences


def _stop_ends_sentence(document: str, start: int, stop: int, following: int) -> bool:
    """Whether the full stop at `stop` ends the sentence that began at `start`, with more text at `following`."""
    first = max(start, document.rfind(" ", max(start, stop - _LONGEST_LOOK_BACK), stop) + 1)
    word = document[first:stop]
    if not word.isalpha():
        if word == "." or (not word and document[stop - 2 : stop - 1] == "."):  # Dots by themselves: ". . ."
            return False
        word = word.lstrip(_OPENERS)
        if first == start and _ENUMERATOR.match(word):
            return False
        if word.isdecimal():
            return not (len(word) < 3 and _next_word(document, following) in AFTER_ORDINAL)
        tail = _LAST_WORD.search(word)
        word = tail[0] if tail else ""
        if word.endswith("."):  # Dots behind a word.
            return True
    elif first == start and _ENUMERATOR.match(word):
        return False
    if word in BEFORE_ANY_WORD:
        return False
    if word in BEFORE_NUMBER and _NUMBER.match(document, following):
        return False
    # A letter of a script without capitals is an initial, too, unless it is a syllable.
    if len(word) == 1 and _LETTER_AND_STOP.match(document, following):  # "z. B."
        return False
    initial = len(word) == 1 and not word.islower() and word < "ᄀ"
    if initial or word in ANYWHERE or _INITIALS.match(word):
        return _next_word(document, following) in SENTENCE_STARTERS
    return True


def _next_word(document: str, following: int) -> str:
    """The word at `following`."""
    found = _NEXT_WORD.match(document, following)
    return found[1] if found else ""
