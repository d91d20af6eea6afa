"""Scripts without spaces between words."""

from __future__ import annotations

# Thai, Lao, Tibetan, Burmese, Khmer, ideographic iteration marks, kana and bopomofo with their extensions and half
# widths, Han: first and last code points.
UNSPACED_RANGES = (
    (0x0E00, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3040, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x323FF),
)


def is_unspaced(char: str) -> bool:
    """Whether `char` is of a script without spaces between words."""
    code = ord(char)
    return any(first <= code <= last for first, last in UNSPACED_RANGES)
