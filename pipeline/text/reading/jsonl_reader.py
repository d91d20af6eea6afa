"""Reads JSON Lines: one JSON object per line, with a document in one of its fields."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.errors import InputError
from pipeline.text.reading.byte_range import lines_before, read_bytes
from pipeline.text.reading.document import Document, TextCounts, place_in
from pipeline.text.reading.segment import Segment
from pipeline.text.reading.text_stream import split_stream

_BYTE_ORDER_MARK = "\ufeff"
_LINE_FEED = re.compile("\n")
_WINDOW = 1 << 16  # Bytes searched at a time for the next line.


def read_jsonl(segment: Segment, *, text_field: str, drop_bad: bool, counts: TextCounts) -> Iterator[Document]:
    """Reads the documents of the lines that begin in a segment of a file of JSON Lines.

    Args:
        segment: the part of a file to read.
        text_field: the field that holds the text; "a.b.c" for the field c of the field b of the field a.
        drop_bad: whether to drop lines that are not a JSON object or lack the field; otherwise, they raise an error.
        counts: gets "dropped/bad_json", "dropped/no_text_field", and "dropped/no_text" for a field that is null.

    Yields:
        The documents, with their texts unchanged.

    Raises:
        InputError: if the file cannot be read, is shorter than planned, or is damaged; or for a bad line, naming it.
    """
    path = text_field.split(".")
    chunks = read_bytes(segment, _find_line, counts)
    lines = split_stream(chunks, _LINE_FEED, counts, file_begins=segment.start == 0)
    for number, line in enumerate(lines, start=1):
        line = line.lstrip(_BYTE_ORDER_MARK)  # In concatenated files, each may begin with one.
        if not line or line.isspace():
            continue
        try:
            text: Any = json.loads(line)
            for name in path:
                if not isinstance(text, dict):
                    raise TypeError(f"{_kind(text)}, which has no fields,")
                text = text[name]
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{_kind(text)} in that field")
        except (ValueError, RecursionError) as error:  # Also for numbers with too many digits and for deep nesting.
            reason, fault = "bad_json", f"{type(error).__name__}: {error}"
        except KeyError as error:
            reason, fault = "no_text_field", f"no field {error.args[0]}"
        except TypeError as error:
            reason, fault = "no_text_field", str(error)
        else:
            if text is not None:
                yield Document(text, segment.path, place_in(segment, "line", number))
                continue
            reason = "no_text"
        if reason != "no_text" and not drop_bad:
            raise InputError(
                f"Each line of {segment.path} must be a JSON object with a string in the field {text_field}",
                received=f"{fault} in line {_line(segment, number):,}: {line.strip()[:80]!r}",
                do="Name the field with --text-field, correct the line, or drop such lines with --on-bad-text drop",
            )
        counts.drop(Document(line, segment.path, place_in(segment, "line", number)), reason)


def _kind(value: Any) -> str:
    """Returns the JSON name of a value's type."""
    return {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )


def _find_line(read: Callable[[int], bytes], left: int) -> tuple[int, bool]:
    """Finds the beginning of the next line, however long the current line is."""
    passed = 0
    while passed < left:
        window = read(min(_WINDOW, left - passed))
        found = window.find(b"\n")
        if found >= 0:
            return passed + found + 1, True
        passed += len(window)
    return left, True


def _line(segment: Segment, number: int) -> int:
    """Returns the number in the file of a segment's line; the line that contains the cut is the previous segment's."""
    return lines_before(segment) + (segment.start > 0) + number
