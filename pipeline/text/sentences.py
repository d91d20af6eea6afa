"""Splits text into sentences by rules, at the speed of a compiled regular expression.

One pattern finds the places where a sentence may end. Every match begins with one of a few characters, which the
regular expression engine scans for quickly. Python makes about one decision per sentence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pipeline.text.abbreviations import (
    AFTER_ORDINAL,
    ANYWHERE,
    BEFORE_ANY_WORD,
    BEFORE_NUMBER,
    BEFORE_SMALL_LETTERS,
    NO_SURE_STARTERS,
    SENTENCE_STARTERS,
)

_CLOSERS = r"\"'”’»›)\]_*」』】》〉）］"
# Stops of scripts without spaces between sentences, or whose stop has no other use: Devanagari and related scripts,
# Urdu, Arabic, Armenian, Ethiopic, Burmese, Khmer, Tibetan, Mongolian.
_OTHER_STOPS = "।॥۔؟։።፧፨။។៕།༎᠃"
_CJK_STOPS = "。！？｡"
_SPACE = r"[^\S\n]"  # White space within a line.


def _possible_end(first_letter: str, greek: str) -> re.Pattern[str]:
    """Returns a pattern for where a sentence may end, given patterns of the characters the next may begin with."""
    return re.compile(
        rf"[\n.!?…;．{_CJK_STOPS}{_OTHER_STOPS}](?:"
        # The end of a line.
        r"(?<=\n)"
        # A stop; closing quotation marks, brackets or emphasis; references such as [12]; white space. Then, after
        # opening marks or a dialogue dash, no lower-case letter.
        rf"|(?<=[.!?…])[{_CLOSERS}“‘]*(?:{_SPACE}[»›])?(?:\[\d+\])*{_SPACE}+"
        rf"(?=(?:[—–«‹-]{_SPACE})?(?:[^\w\s.,;:!?…]|_(?!_))*({first_letter}|__))"
        # Chinese and Japanese. But quoted speech does not end the sentence that continues after it: 「…。」と言った。
        rf"|(?<=[{_CJK_STOPS}])[{_CJK_STOPS}!?]*(?:[{_CLOSERS}]+(?!\s*[とっ、，]))?\s*(?=[^\s{_CLOSERS}])"
        r"|(?<=[぀-ヿ㐀-鿿]．)\s*(?=[^\s\d])"
        rf"|(?<=[{_OTHER_STOPS}])[!?.…{_CLOSERS}{_OTHER_STOPS}]*\s*(?=\S)"
        # The Greek question mark.
        rf"|(?<=[Ͱ-Ͽἀ-῿];)[{_CLOSERS}]*{_SPACE}+(?=[{_CLOSERS}«“‘(]*[{greek}])"
        r")"
    )


_LAST_WORD = re.compile(r"(?:[^\W\d_]|\.)+$")
_NEXT_WORD = re.compile(r"[\W_]*([^\W_]+)")
_LETTER_AND_STOP = re.compile(r"[^\W\d_]\.")
_ROMAN_OR_DIGIT = r"[\W_]*(?:\d|(?:[IVXLC]{2,}|[VXLC])\b)"  # "I" is a word.
_INITIALS = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}$")  # "U.S", "p.m", "Ph.D"; not "file.txt".
_ROMAN = "(?=[ivx])x{0,3}(?:ix|iv|v?i{0,3})"  # 1 to 39.
_ENUMERATOR = re.compile(rf"(?:\d{{1,3}}|{_ROMAN}|{_ROMAN.upper()}|[^\W\d_ᄀ-\U0010ffff])$")
_LONGEST_LOOK_BACK = 24
_OPENERS = "\"'“‘«‹([—–-_*„¿¡"


class _Rules(NamedTuple):
    """Rules for the ends of sentences in text with or without case.

    Attributes:
        possible_end: pattern for where a sentence may end.
        folded: whether to ignore case: a lower-case letter may begin a sentence, and words are compared in lower case.
        before_any_word: see `pipeline.text.abbreviations`, as for the other sets of words.
        number: pattern for a number that follows a word of `before_number`.
    """

    possible_end: re.Pattern[str]
    folded: bool
    before_any_word: frozenset[str]
    before_number: frozenset[str]
    number: re.Pattern[str]
    anywhere: frozenset[str]
    starters: frozenset[str]
    after_ordinal: frozenset[str]


def _lower(words: frozenset[str]) -> frozenset[str]:
    return frozenset(map(str.lower, words))


_CASED = _Rules(
    _possible_end("[^\\W_a-z]", "Α-ΫἈ-Ῥ"),
    False,
    BEFORE_ANY_WORD,
    BEFORE_NUMBER,
    re.compile(_ROMAN_OR_DIGIT),
    ANYWHERE,
    SENTENCE_STARTERS,
    AFTER_ORDINAL,
)
_FOLDED = _Rules(
    _possible_end("[^\\W_]", "Ͱ-Ͽἀ-῿"),
    True,
    _lower(BEFORE_ANY_WORD) | BEFORE_SMALL_LETTERS,
    _lower(BEFORE_NUMBER),
    re.compile(_ROMAN_OR_DIGIT, re.IGNORECASE),
    _lower(ANYWHERE),
    _lower(SENTENCE_STARTERS) - NO_SURE_STARTERS,
    _lower(AFTER_ORDINAL),
)
# Case is ignored if the possible ends of sentences are fewer than one per `_MOST_CHARACTERS`, most stops stand before a
# lower-case letter instead (a few excepted), and hardly any letter is a capital.
_MOST_CHARACTERS, _FEW_ENDS, _HARDLY_ANY_END, _HARDLY_ANY_CAPITAL = 400, 10, 0.1, 0.01
_SAMPLE = 500  # Characters from which a document's script is determined.


def split_sentences(document: str) -> list[str]:
    """Splits a document into sentences.

    A full stop, question mark or exclamation mark before white space ends a sentence unless a lower-case letter
    follows. A full stop does not end one after an abbreviation (see `pipeline.text.abbreviations`), an initial, an
    ordinal, or the number of an item. The stops of Chinese, Japanese, Hindi, Urdu and other scripts always do.

    A lower-case letter may begin a sentence in a document with hardly any capitals, with capitals only, or mostly in a
    script without case.

    Args:
        document: text whose lines are paragraphs; no sentence spans two lines.

    Returns:
        The sentences, stripped of white space; none is empty. Together they hold every character of the document
        except white space between sentences.
    """
    if document.islower() or document.isupper() or _is_mostly_without_case(document):
        return _split(document, _FOLDED)[0]
    sentences, ends = _split(document, _CASED)
    if ends * _MOST_CHARACTERS < len(document):
        folded, all_ends = _split(document, _FOLDED)
        if ends < _HARDLY_ANY_END * (all_ends - _FEW_ENDS) and _has_hardly_a_capital(document):
            return folded
    return sentences


def _has_hardly_a_capital(document: str) -> bool:
    return sum(map(str.isupper, document)) < _HARDLY_ANY_CAPITAL * sum(map(str.isalpha, document))


def _is_mostly_without_case(document: str) -> bool:
    """Returns whether most letters at the beginning of a document have no case."""
    text = document[:_SAMPLE]
    if len(text.encode("utf-8", "surrogatepass")) < 1.5 * len(text):  # Fast path for Latin letters.
        return False
    letters = [char for char in text if char.isalpha()]
    return 2 * sum(char.lower() == char.upper() for char in letters) > len(letters)


def _split(document: str, rules: _Rules) -> tuple[list[str], int]:
    """Returns the sentences, and the number of stops after which a sentence may begin."""
    sentences = []
    start = ends = 0
    for match in rules.possible_end.finditer(document):
        if (following := match[1]) is not None:
            if following.islower() and not rules.folded:
                continue
            ends += 1
            if document[match.start()] == "." and not _stop_ends_sentence(
                document, start, match.start(), match.end(), rules
            ):
                continue
        end = match.end()
        if sentence := document[start:end].strip():
            sentences.append(sentence)
        start = end
    if sentence := document[start:].strip():
        sentences.append(sentence)
    return sentences, ends


def _stop_ends_sentence(document: str, start: int, stop: int, following: int, rules: _Rules) -> bool:
    """Returns whether the full stop at `stop` ends the sentence begun at `start`; text continues at `following`."""
    first = max(start, document.rfind(" ", max(start, stop - _LONGEST_LOOK_BACK), stop) + 1)
    word = document[first:stop]
    if not word.isalpha():
        if word == "." or (not word and document[stop - 2 : stop - 1] == "."):  # Separate dots: ". . ."
            return False
        word = word.lstrip(_OPENERS)
        if first == start and _ENUMERATOR.match(word):
            return False
        if word.isdecimal():
            return not (len(word) < 3 and _next_word(document, following, rules) in rules.after_ordinal)
        tail = _LAST_WORD.search(word)
        if rules.folded and tail and word[: tail.start()].endswith(("'", "’")):  # "don't", which ends like an initial.
            return True
        word = tail[0] if tail else ""
        if word.endswith("."):  # Dots after a word.
            return True
    elif first == start and _ENUMERATOR.match(word):
        return False
    if rules.folded:
        word = word.lower()
    if word in rules.before_any_word:
        return False
    if word in rules.before_number and rules.number.match(document, following):
        return False
    # A letter of a script without case is an initial, too, unless it is a syllable.
    if len(word) == 1 and _LETTER_AND_STOP.match(document, following):  # "z. B."
        return False
    initial = len(word) == 1 and (rules.folded or not word.islower()) and word < "ᄀ"
    if initial or word in rules.anywhere or _INITIALS.match(word):
        return _next_word(document, following, rules) in rules.starters
    return True


def _next_word(document: str, following: int, rules: _Rules) -> str:
    """Returns the word at `following`."""
    found = _NEXT_WORD.match(document, following)
    word = found[1] if found else ""
    return word.lower() if rules.folded else word
