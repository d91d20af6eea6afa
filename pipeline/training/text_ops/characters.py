"""Replaces characters with TensorFlow operations.

TensorFlow has operations for lower case and Unicode's normal forms, but they use another version of Unicode than
Python, and lower case depends on the machine's locale. The tables here are made with the tokenizers' own functions, so
the result is the same on every machine.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Hashable

import numpy as np
import tensorflow as tf

from pipeline.tokenizers.normalizer import is_cjk

_CODE_POINTS, _PAGE = 0x110000, 256
_PLANES_WITH_RULES = (range(0x30000), range(0xE0000, 0xE1000))  # Others have only ideographs and private characters.
_SURROGATES = range(0xD800, 0xE000)
_ITSELF = -1  # Stands for the replaced character itself.
_CAPITAL_SIGMA, _SMALL_SIGMA, _FINAL_SIGMA = "Σσς"
_OTHER, _CASED, _IGNORABLE = range(3)


class CharacterMap(tf.Module):
    """Replaces each character by a string.

    Args:
        replacement: returns the replacement of a character, which may depend only on its Unicode properties. Characters
            of unassigned and private planes, and surrogates, are not changed.
    """

    def __init__(self, replacement: Callable[[str], str]) -> None:
        super().__init__()
        numbers: dict[tuple[int, ...], int] = {(_ITSELF,): 0}
        table, number_of_kind = np.zeros(_CODE_POINTS, np.int32), dict[Hashable, int]()
        for code in _codes():
            char = chr(code)
            kind = _kind(char)
            if kind not in number_of_kind:
                new = tuple(_ITSELF if part == char else ord(part) for part in replacement(char))
                number_of_kind[kind] = numbers.setdefault(new, len(numbers))
            table[code] = number_of_kind[kind]
        self._table = _Table(table)
        self._replacements = tf.ragged.constant(list(map(list, numbers)), dtype=tf.int32, row_splits_dtype=tf.int64)

    def __call__(self, codes: tf.RaggedTensor) -> tf.RaggedTensor:
        """Maps the code points of texts, int32 `[texts, (characters)]`, to those of the new texts."""
        new = tf.gather(self._replacements, self._table(codes.values))  # [characters, (new characters)]
        old = tf.repeat(codes.values, new.row_lengths())
        values = tf.where(new.values == _ITSELF, old, new.values)
        return tf.RaggedTensor.from_row_splits(values, tf.gather(new.row_splits, codes.row_splits), validate=False)


class FinalSigma(tf.Module):
    """Lower-cases the capital sigma, which has another form at the end of a word, as `str.lower` does.

    It is at the end if it follows a cased letter and is not followed by one, ignoring characters such as apostrophes
    (Unicode, section 3.13, Final_Sigma).

    Args:
        is_dropped: whether a character is not part of the text that is lower-cased.
    """

    def __init__(self, is_dropped: Callable[[str], bool] = lambda char: False) -> None:
        super().__init__()
        kinds = np.full(_CODE_POINTS, _OTHER, np.int32)
        for code in _codes():
            char = chr(code)
            if is_dropped(char) or f"a{char}{_CAPITAL_SIGMA}".lower()[-1] == _FINAL_SIGMA:
                cased = f" {char}{_CAPITAL_SIGMA}".lower()[-1] == _FINAL_SIGMA and not is_dropped(char)
                kinds[code] = _CASED if cased else _IGNORABLE
        self._kinds = _Table(kinds)

    def __call__(self, codes: tf.RaggedTensor) -> tf.RaggedTensor:
        """Replaces capital sigmas among the code points of texts, int32 `[texts, (characters)]`."""
        any_sigma = tf.reduce_any(codes.values == ord(_CAPITAL_SIGMA))
        return codes.with_values(tf.cond(any_sigma, lambda: self._lower(codes), lambda: codes.values))

    def _lower(self, codes: tf.RaggedTensor) -> tf.Tensor:
        values, texts = codes.values, codes.value_rowids()
        kinds = self._kinds(values)
        solid = tf.where(kinds != _IGNORABLE)[:, 0]
        places = tf.where(values == ord(_CAPITAL_SIGMA))[:, 0]
        number, count = tf.searchsorted(solid, places, out_type=tf.int64), tf.size(solid, out_type=tf.int64)

        def is_cased(neighbour: tf.Tensor) -> tf.Tensor:
            at = tf.gather(solid, tf.clip_by_value(neighbour, 0, tf.maximum(count - 1, 0)))
            same_text = tf.gather(texts, at) == tf.gather(texts, places)
            return (neighbour >= 0) & (neighbour < count) & same_text & (tf.gather(kinds, at) == _CASED)

        is_final = is_cased(number - 1) & ~is_cased(number + 1)
        small = tf.where(is_final, ord(_FINAL_SIGMA), ord(_SMALL_SIGMA))
        return tf.tensor_scatter_nd_update(values, places[:, None], small)


class _Table(tf.Module):
    """A value for each code point, stored in pages, without duplicates.

    Args:
        values: int32 `[0x110000]`.
    """

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        pages, page_of = np.unique(values.reshape(-1, _PAGE), axis=0, return_inverse=True)
        self._pages = tf.constant(pages.ravel(), tf.int32)
        self._page_of = tf.constant(page_of.ravel(), tf.int32)

    def __call__(self, codes: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._pages, tf.gather(self._page_of, codes // _PAGE) * _PAGE + codes % _PAGE)


def decode(texts: tf.Tensor) -> tf.RaggedTensor:
    """Decodes texts to code points, int32 `[texts, (characters)]`.

    Bytes that are not UTF-8 become U+FFFD, as with `bytes.decode("utf-8", "replace")`.

    Args:
        texts: strings `[texts]`.
    """
    return tf.strings.unicode_decode(texts, "UTF-8", errors="replace")


def encode(codes: tf.RaggedTensor) -> tf.Tensor:
    """The inverse of `decode`: strings `[texts]`."""
    return tf.strings.unicode_encode(codes, "UTF-8")


def pattern_of(is_in: Callable[[str], bool]) -> str:
    """Returns a character class for `tf.strings.regex_replace`, by code points."""
    codes = [code for code in _codes() if is_in(chr(code))]
    return "[" + "".join(f"\\x{{{code:X}}}" for code in codes) + "]"


def _kind(char: str) -> Hashable:
    """Returns a key that is equal for characters that every rule treats alike; no rule changes most characters."""
    if char < "\x80" or char == "\ufffd" or unicodedata.normalize("NFKD", char) != char or char.lower() != char:
        return char
    return unicodedata.category(char), unicodedata.combining(char), is_cjk(char)


def _codes() -> list[int]:
    """Returns the code points that a rule may change."""
    return [code for plane in _PLANES_WITH_RULES for code in plane if code not in _SURROGATES]


def blocks_order(char: str) -> bool:
    """Returns whether a mark that is dropped separates the combining marks before and after it.

    Unicode's canonical order moves marks of one sequence; a mark of combining class 0 ends the sequence.
    """
    return unicodedata.category(char) == "Mn" and not unicodedata.combining(char)
