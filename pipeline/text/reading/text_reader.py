"""Reads files of text, whose documents are separated by blank lines or a custom separator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from pipeline.text.reading.byte_range import read_bytes
from pipeline.text.reading.document import Document, TextCounts, place_in
from pipeline.text.reading.segment import Segment
from pipeline.text.reading.separators import Separators
from pipeline.text.reading.text_stream import split_stream

_CUT_WINDOW = 1 << 20  # Bytes searched for a boundary after a nominal cut.
_LONGEST = 1 << 25  # Maximum characters of a document in a compressed file, which the plan cannot cut.


def read_text(segment: Segment, separators: Separators, counts: TextCounts) -> Iterator[Document]:
    """Reads the documents that begin in a segment of a file of text.

    Args:
        segment: the part of a file to read.
        separators: the separators between documents.
        counts: gets "documents_cut" for a document that is cut because it is too long for a block.

    Yields:
        Documents with one paragraph or sentence per line, without white space around it; none is empty. A byte that is
        not valid UTF-8 is a lone surrogate (`surrogateescape`).

    Raises:
        InputError: if the file cannot be read, is shorter than planned, or is damaged.
    """

    def find_boundary(read: Callable[[int], bytes], left: int) -> tuple[int, bool]:
        return _find_boundary(read(min(_CUT_WINDOW, left)), separators, file_ends=left < _CUT_WINDOW)

    texts = split_stream(
        read_bytes(segment, find_boundary, counts),
        separators.between_documents,
        counts,
        file_begins=segment.start == 0,
        longest=_LONGEST if segment.compression else sys.maxsize,
    )
    found = filter(None, map(_unwrapped if segment.format == "wrapped" else stripped_lines, texts))
    for number, text in enumerate(found, start=1):
        yield Document(text, segment.path, place_in(segment, "document", number))


def stripped_lines(text: str) -> str:
    """Strips each line of a text, and removes empty lines."""
    return "\n".join(filter(None, map(str.strip, text.split("\n"))))


def normalized_lines(text: str) -> str:
    """Ends lines with line feeds, strips each, and removes empty lines."""
    return stripped_lines(text.replace("\r\n", "\n").replace("\r", "\n"))


def _unwrapped(text: str) -> str:
    """Joins the lines of each paragraph of wrapped prose."""
    paragraphs = "\n".join(map(str.strip, text.split("\n"))).split("\n\n")
    return "\n".join(filter(None, (paragraph.strip("\n").replace("\n", " ") for paragraph in paragraphs)))


def _find_boundary(window: bytes, separators: Separators, *, file_ends: bool) -> tuple[int, bool]:
    """Finds the best boundary in the bytes after a nominal cut: its offset, and whether it is between documents."""
    between_documents, *within = separators.boundaries
    # A separator at the end of the window might continue after it. It is accepted all the same, because both segments
    # that meet here see the same window.
    if found := between_documents.search(window):
        return found.end(), True
    if file_ends:
        return len(window), True
    for pattern in within:
        if found := pattern.search(window):
            return found.end(), False
    inside = 0
    while inside < min(4, len(window)) and window[inside] & 0xC0 == 0x80:  # UTF-8's continuation bytes.
        inside += 1
    return inside, False
