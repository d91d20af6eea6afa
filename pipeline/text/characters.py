"""Tables of character classes, to be indexed with arrays of code points."""

from __future__ import annotations

import functools
import unicodedata

import numpy as np

from pipeline.scripts import UNSPACED_RANGES

WORD, LONE = 1, 2  # In `word_classes`: part of a word; a word by itself.
_CODE_POINTS = 0x110000
# Unicode assigns no code points in between.
_FIRST_UNASSIGNED, _ASSIGNED_AGAIN = 0x40000, 0xE0000


def code_points(text: str) -> np.ndarray:
    """Returns the code points of `text`, uint32 `[characters]`; `text` must not contain surrogates."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


@functools.cache
def letters() -> np.ndarray:
    """Returns a bool table `[code points]`: letters, and marks, with which many scripts write vowels."""
    table: np.ndarray = np.isin(_categories(), [ord("L"), ord("M")])
    return table


@functools.cache
def word_classes() -> np.ndarray:
    """Returns a uint8 table `[code points]`.

    It holds `WORD` for letters, marks and digits, `LONE` for those of scripts without spaces between words, 0 for all
    other characters.
    """
    table = np.isin(_categories(), [ord("L"), ord("M"), ord("N")]).astype(np.uint8)
    for first, last in UNSPACED_RANGES:
        table[first : last + 1] *= LONE
    return table


@functools.cache
def _categories() -> np.ndarray:
    """Returns the first letter of each code point's general category, uint8 `[code points]`."""
    categories = np.full(_CODE_POINTS, ord("C"), np.uint8)
    for start, end in ((0, _FIRST_UNASSIGNED), (_ASSIGNED_AGAIN, _CODE_POINTS)):
        names = "".join(unicodedata.category(chr(code))[0] for code in range(start, end))
        categories[start:end] = np.frombuffer(names.encode(), np.uint8)
    return categories
