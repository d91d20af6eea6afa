"""Finds where rows of CSV begin, at about the speed of reading the file.

Whether a line break is within quotes depends on everything before it, so a file is scanned from its beginning. The
rules are those of Python's csv module in strict mode, which reads the rows: quotes are special only at the beginning of
a field; after the closing quote, anything but a delimiter or line end is an error, and the rest of the line is skipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from pipeline.compiling import compiled, read_only

_FIELD_BEGINS, _FIELD, _QUOTED, _QUOTE_SEEN, _BAD, _AFTER_RETURN = range(6)
ROW_BEGINS = _FIELD_BEGINS  # The state at the beginning of a file.
NO_QUOTES = -1
_LINE_FEED, _RETURN = ord("\n"), ord("\r")


@compiled(types.UniTuple(types.int64, 2), read_only(types.uint8), types.int64, types.int64, types.int64)
def find_row(data: np.ndarray[Any, np.dtype[np.uint8]], state: int, delimiter: int, quote: int) -> tuple[int, int]:
    """Finds the first row that begins in some bytes of a file, and follows the rules to their end.

    Args:
        data: the bytes; uint8, `[bytes]`.
        state: the state before them: `ROW_BEGINS`, or what the call for the bytes before returned.
        delimiter: the byte between fields.
        quote: the byte around fields with delimiters and line breaks, or `NO_QUOTES`.

    Returns:
        Where the row begins, from 1 to the number of bytes, or 0 if none does; and the state after the bytes.
    """
    found = 0
    for i in range(len(data)):
        byte = data[i]
        if state == _QUOTED:
            if byte == quote:
                state = _QUOTE_SEEN
            continue
        if state == _AFTER_RETURN:
            # A line feed belongs to the line end; anything else begins a row.
            state = _FIELD_BEGINS
            if byte == _LINE_FEED:
                if not found:
                    found = i + 1
                continue
            if not found:
                found = i
        if byte == _LINE_FEED:
            state = _FIELD_BEGINS
            if not found:
                found = i + 1
        elif byte == _RETURN:
            state = _AFTER_RETURN
        elif state == _BAD:
            continue
        elif byte == delimiter:
            state = _FIELD_BEGINS
        elif state == _FIELD_BEGINS:
            state = _QUOTED if byte == quote else _FIELD
        elif state == _QUOTE_SEEN:
            state = _QUOTED if byte == quote else _BAD
    return found, state
