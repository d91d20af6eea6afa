"""Reads CSV and TSV (RFC 4180): one document per row, in a column that the first row names."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from pipeline import files
from pipeline.errors import InputError
from pipeline.text.reading.byte_range import lines_before, read_bytes
from pipeline.text.reading.columns import missing_column
from pipeline.text.reading.content import read_head
from pipeline.text.reading.document import Document, TextCounts, place_in
from pipeline.text.reading.segment import Segment
from pipeline.text.reading.text_stream import split_stream

_DELIMITERS = ",;\t|"
_IN_QUOTES = re.compile(r'"(?:[^"]|"")*"')
_LINE_FEED = re.compile("\n")
_PIECE_BYTES = 1 << 20
_LONGEST = 1 << 25  # Characters of a field. A longer one is a quote that is never closed.


class Header(NamedTuple):
    """The contents of the first row of a file.

    Attributes:
        columns: the names of the columns.
        delimiter: the character between fields.
    """

    columns: tuple[str, ...]
    delimiter: str


def read_header(path: str, compression: str, text_format: str, quotes: str) -> Header:
    """Reads the first row of a file.

    Args:
        path: the file.
        compression: as in `Segment`.
        text_format: "tsv", or "csv", whose delimiter is the one of comma, semicolon, tab and bar that is most frequent
            in the first line, outside quotes.
        quotes: "double" or "none".

    Raises:
        InputError: if the file cannot be read, or its beginning is not a row.
    """
    head = read_head(path, compression).decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    first = _IN_QUOTES.sub("", head.lstrip("\n")).partition("\n")[0]
    delimiter = "\t" if text_format == "tsv" else max(_DELIMITERS, key=first.count)
    try:
        row = next(filter(None, _rows((f"{line}\n" for line in head.split("\n")), delimiter, quotes)), [])
    except csv.Error as error:
        raise _not_a_row(path, 1, str(error), quotes) from error
    return Header(tuple(name.strip() for name in row), delimiter)


def sizes_of_rows(path: str, text_format: str, *, text_field: str, quotes: str, block_bytes: int) -> tuple[int, ...]:
    """Cuts a file that is not compressed between rows, into pieces of about a mebibyte.

    Args:
        path: the file.
        text_format: "csv" or "tsv".
        text_field: the column of the text.
        quotes: "double" or "none".
        block_bytes: the size of a block, if it is given: then no piece is much larger.

    Returns:
        The bytes of each piece; their sum is the file's size.

    Raises:
        InputError: if the file cannot be read, or has no such column.
    """
    import numpy as np

    from pipeline.compiling import CSV_LOOPS, compile_loops

    compile_loops(CSV_LOOPS)
    from pipeline.text.reading.csv_rows import NO_QUOTES, ROW_BEGINS, find_row

    header = read_header(path, "", text_format, quotes)
    _find_column(path, header, text_field)
    quote = ord('"') if quotes == "double" else NO_QUOTES
    cuts, position, state = [0], 0, ROW_BEGINS
    with files.open_read(path) as stream:
        while chunk := stream.read(min(_PIECE_BYTES, block_bytes or _PIECE_BYTES)):
            data = chunk if position else chunk.removeprefix(codecs.BOM_UTF8)
            found, state = find_row(np.frombuffer(data, np.uint8), state, ord(header.delimiter), quote)
            if found and position:  # The header stays with the rows after it.
                cuts.append(position + found)
            position += len(chunk)
    ends = [*(cut for cut in cuts[1:] if cut < position), position]
    return tuple(end - start for start, end in zip([0, *ends], ends, strict=False))


def read_csv(
    segment: Segment, *, text_field: str, quotes: str, drop_bad: bool, counts: TextCounts
) -> Iterator[Document]:
    """Reads the documents of the rows of a segment.

    Args:
        segment: the part of a file to read; it begins at a row.
        text_field: the column of the text.
        quotes: "double": fields in double quotes may hold delimiters, line breaks, and quotes written twice; "none":
            quotes are ordinary characters.
        drop_bad: whether to drop rows that are not CSV or have more or fewer fields than the first row; otherwise, they
            raise an error.
        counts: gets "dropped/bad_row".

    Yields:
        The documents, with their texts unchanged. A byte that is not valid UTF-8 is a lone surrogate
        (`surrogateescape`).

    Raises:
        InputError: if the file cannot be read, differs from the plan, is damaged, has no such column, or ends within
            quotes; or for a bad row, naming it.
    """
    chunks = read_bytes(segment, lambda read, left: (0, True), counts)
    lines = _Lines(split_stream(chunks, _LINE_FEED, counts, file_begins=segment.start == 0))
    header = read_header(segment.path, segment.compression, segment.format, quotes)
    column = _find_column(segment.path, header, text_field)
    rows = _rows(lines, header.delimiter, quotes)
    number = 0 if segment.start else -1  # The first row of a file is its header.
    while True:
        try:
            row = next(rows, None)
            fault = ""
        except csv.Error as error:
            row, fault = [lines.last], str(error)
            if lines.ended or fault.startswith("field larger"):
                raise InputError(
                    f"{segment.path} is not a complete CSV file",
                    received=f"a quote that is not closed within {_LONGEST:,} characters, or by the end of the file",
                    do="Write it again; if quotes are ordinary characters in it, use --csv-quotes none",
                ) from error
        if row is None:
            return
        if not row:  # An empty line.
            continue
        number += 1
        if not number and not segment.start:
            continue
        if not fault and len(row) == len(header.columns):
            yield Document(row[column], segment.path, place_in(segment, "row", number))
            continue
        fault = fault or f"{len(row)} instead of {len(header.columns)} fields"
        if not drop_bad:
            raise _not_a_row(segment.path, lines_before(segment) + lines.number, fault, quotes, lines.last)
        counts.drop(Document(header.delimiter.join(row), segment.path, place_in(segment, "row", number)), "bad_row")


class _Lines:
    """Yields lines with their ends, as Python's csv module expects them, and keeps track of the position.

    Attributes:
        last: the line that was read last.
        number: its number, from 1.
        ended: whether there are no more.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.last, self.number, self.ended = "", 0, False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.last = line
        self.number += 1
        return line + "\n"


def _rows(lines: Iterable[str], delimiter: str, quotes: str) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes == "double" else csv.QUOTE_NONE
    return csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)


def _find_column(path: str, header: Header, text_field: str) -> int:
    if text_field not in header.columns:
        raise missing_column(path, text_field, header.columns, do="; the first row must contain the column names")
    if header.columns.count(text_field) > 1:
        raise InputError(
            f"{path} has several columns {text_field}",
            received=f"the columns {', '.join(header.columns)}",
            do="Rename one of them in the first row",
        )
    return header.columns.index(text_field)


def _not_a_row(path: str, line: int, fault: str, quotes: str, text: str = "") -> InputError:
    advice = "" if quotes == "none" else ", use --csv-quotes none if quotes are ordinary characters in this file"
    return InputError(
        f"Each row of {path} must have one field per column, with quotes as in RFC 4180",
        received=f"{fault} in line {line:,}{f': {text.strip()[:80]!r}' if text else ''}",
        do=f"Correct the row{advice}, or drop such rows with --on-bad-text drop",
    )
