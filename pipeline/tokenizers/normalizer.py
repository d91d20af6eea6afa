"""BERT's text normalisation and word splitting.

`basic_tokenize` is the reference implementation, character by character, of google-research/bert's `BasicTokenizer`
(tokenization.py). `BertNormalizer` produces the same words at the speed of `str.translate`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

# Blocks that BERT treats as CJK ideographs, each of which is a word; Hangul and kana form words like other letters.
CJK_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_ASCII_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SPLIT = re.compile(r"[!-/:-@\[-`{-~]|[^\s!-/:-@\[-`{-~]+")


def is_whitespace(char: str) -> bool:
    """Returns whether BERT turns `char` into a space."""
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def is_control(char: str) -> bool:
    """Returns whether BERT removes `char`: NUL, U+FFFD, control and format characters except tab and line ends.

    Lone surrogates are removed, too: they are not text, and UTF-8 cannot encode them.
    """
    if char in "\t\n\r":
        return False
    return char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cf", "Cs")


def is_punctuation(char: str) -> bool:
    """Returns whether `char` is a word of its own: an ASCII symbol, or Unicode punctuation."""
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def is_cjk(char: str) -> bool:
    """Returns whether `char` is in one of `CJK_RANGES`, Unicode's blocks of CJK ideographs."""
    code = ord(char)
    return any(low <= code <= high for low, high in CJK_RANGES)


def strip_accents(text: str) -> str:
    """Decomposes `text` (NFD) and removes nonspacing marks (Mn)."""
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def text_for_library(text: str, lower_case: bool) -> str:
    """Drops lone surrogates, which are not text and which UTF-8 cannot encode, for a library that normalises by itself.

    Args:
        text: any text.
        lower_case: whether to lower-case it and strip its accents, as google-research/albert does (tokenization.py).
    """
    if text.isascii():
        return text.lower() if lower_case else text
    text = text.encode("utf-8", "ignore").decode()
    if not lower_case:
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).lower()


def basic_tokenize(
    text: str,
    *,
    lower_case: bool,
    accents: bool | None = None,
    split_cjk: bool = True,
    split_punctuation: bool = True,
    is_kept: Callable[[str], bool] = lambda word: False,
) -> list[str]:
    """Splits text into BERT's words.

    Cleans it, splits off CJK ideographs, lower-cases it and strips accents if `lower_case`, and splits off punctuation.

    Args:
        text: any text.
        lower_case: whether to lower-case (an "uncased" vocabulary).
        accents: whether accents stay; by default, if `lower_case` is false.
        split_cjk: whether CJK ideographs are apart.
        split_punctuation: whether punctuation is apart.
        is_kept: whether a word between spaces stays as it is.
    """
    cleaned = "".join(" " if is_whitespace(char) else char for char in text if not is_control(char))
    spaced = "".join(f" {char} " if is_cjk(char) else char for char in cleaned) if split_cjk else cleaned
    words: list[str] = []
    for word in spaced.split():
        if is_kept(word):
            words.append(word)
            continue
        if lower_case:
            word = word.lower()
        if not accents and (lower_case or accents is not None):
            word = strip_accents(word)
        if not split_punctuation:
            words += word.split()
            continue
        words += "".join(f" {char} " if is_punctuation(char) else char for char in word).split()
    return words


class BertNormalizer:
    """Normalises text so that splitting it at spaces and ASCII punctuation gives BERT's words.

    Each character is looked up in a table, which grows with each new character and is filled by the functions above.
    Two kinds of characters depend on their neighbours, and sentences with them are left to `basic_tokenize`: the
    capital sigma, because of its lower case, and the few combining marks that canonical ordering may move.
    """

    def __init__(self, *, lower_case: bool) -> None:
        self.lower_case = lower_case
        self._table = _CharacterTable(lower_case)

    def normalize(self, sentences: Sequence[str]) -> list[str]:
        """Normalises sentences; returns one string per sentence."""
        lower = self.lower_case
        return [
            (sentence.lower() if lower else sentence)
            if sentence.isascii() and not _ASCII_CONTROL.search(sentence)
            else self._normalize_any(sentence)
            for sentence in sentences
        ]

    def words(self, sentence: str) -> list[str]:
        """Splits one sentence into BERT's words; equals `basic_tokenize`."""
        return _SPLIT.findall(self.normalize([sentence])[0])

    def replacement(self, char: str) -> str:
        """Returns what becomes of a character, alone and within a word; the capital sigma depends on more than that."""
        return self._table[ord(char)]

    def _normalize_any(self, sentence: str) -> str:
        normalized = sentence.translate(self._table)
        if self._table.contextual and not self._table.contextual.isdisjoint(sentence):
            return " ".join(basic_tokenize(sentence, lower_case=self.lower_case))
        return normalized


class _CharacterTable(dict[int, str]):
    """A table for `str.translate` that computes the replacement of a character when it first occurs."""

    def __init__(self, lower_case: bool) -> None:
        self._lower_case = lower_case
        self.contextual: set[str] = set()

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if self._lower_case and (char == "Σ" or _may_reorder(char)):
            self.contextual.add(char)
        # Between two letters, so that the result also shows whether the character joins its neighbours.
        pieces = basic_tokenize(f"x{char}x", lower_case=self._lower_case)
        replacement = " ".join(pieces)[1:-1]
        self[code] = replacement
        return replacement


def _may_reorder(char: str) -> bool:
    """Returns whether decomposing `char` gives marks that are not stripped as accents and that ordering may move."""
    decomposed = unicodedata.normalize("NFD", char)
    return any(unicodedata.combining(part) and unicodedata.category(part) != "Mn" for part in decomposed)
