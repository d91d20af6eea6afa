"""What kind of character each code point is, as tables to index with arrays of code points."""

from __future__ import annotations

import functools
import unicodedata

import numpy as np

from pipeline.scripts import UNSPACED_RANGES

WORD, LONE = 1, 2  # In `word_classes`: part of a word; a word by itself.
_CODE_POINTS = 0x110000
# Unicode assigns nothing between these but code points for private use.
_FIRST_UNASSIGNED, _ASSIGNED_AGAIN = 0x40000, 0xE0000


def code_points(text: str) -> np.ndarray:
    """The code points of `text`, uint32 `[characters]`; `text` must hold no surrogates."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


@functools.cache
def letters() -> np.ndarray:
    """Bool `[code points]`: letters, and the marks that many scripts write vowels with."""
    table: np.ndarray = np.isin(_categories(), [ord("L"), ord("M")])
    return table


@functools.cache
def word_classes() -> np.ndarray:
    """Uint8 `[code points]`: 0 outside of words, `WORD` for letters, marks and digits, `LONE` where spaces are not."""
    table = np.isin(_categories(), [ord("L"), ord("M"), ord("N")]).astype(np.uint8)
    for first, last in UNSPACED_RANGES:
        table[first : last + 1] *= LONE
    return table


@functools.cache
def _categories() -> np.ndarray:
    """The first letter of each code point's general category, uint8 `[code points]`."""
    categories = np.full(_CODE_POINTS, ord("C"), np.uint8)
    for start, end in ((0, _FIRST_UNASSIGNED), (_ASSIGNED_AGAIN, _CODE_POINTS)):
        names = "".join(unicodedata.category(chr(code))[0] for code in range(start, end))
        categories[start:end] = np.frombuffer(names.encode(), np.uint8)
    return categories
