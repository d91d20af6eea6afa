"""Reading raw text: the documents of a segment, in the formats that text comes in.

A document is handed on as one string, a paragraph (or, in BERT's format, a sentence) a line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from pipeline import files
from pipeline.errors import InputError
from pipeline.text.plan import Segment

FORMATS = {
    "bert": "a sentence a line, a blank line between documents (google-research/bert)",
    "lines": "a paragraph a line, a blank line between documents",
    "wrapped": "prose in lines of limited width, a blank line between paragraphs, a document a file",
}
_CUT_WINDOW = 1 << 20  # How far past a nominal cut a boundary is looked for, in bytes.
_SNIFF_BYTES = 1 << 16
_NEWLINE = rb"(?:\r\n|\r(?!\n)|\n)"
_BLANK_LINE = re.compile(_NEWLINE + rb"[ \t]*" + _NEWLINE + rb"\s*")
_LINE_END = re.compile(_NEWLINE)
_SPACE = re.compile(rb"[ \t]")
_SENTENCE_END = re.compile(r"[.!?…。！？।؟:;\"”’'»)\]]$")
_INNER_SENTENCE = re.compile(r"[.!?…][\"”’')\]]*\s+[\"“‘'(\[]*[A-ZÀ-Þ]|[。！？।؟].")


def read_documents(segment: Segment, text_format: str, counts: Counter[str]) -> Iterator[str]:
    """Reads the documents that begin in a segment.

    Args:
        segment: which bytes of which file.
        text_format: a key of `FORMATS`.
        counts: gets "documents_cut" for a document cut in two because it goes on for more than a block, and
            "invalid_utf8_documents".

    Yields:
        Documents, their paragraphs (or sentences) separated by single line feeds; none is empty.

    Raises:
        InputError: if the file cannot be read or is shorter than planned.
    """
    data = _read_segment(segment, text_format, counts)
    if segment.start == 0 and data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    try:
        text, valid = data.decode("utf-8"), True
    except UnicodeDecodeError:
        text, valid = data.decode("utf-8", errors="replace"), False
    del data
    for document in _split_documents(_with_line_feeds(text), text_format):
        if not valid and "\ufffd" in document:
            counts["invalid_utf8_documents"] += 1
        yield document


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _split_documents(text: str, text_format: str) -> Iterator[str]:
    parts = re.split(r"\n\s*\n", text)
    if text_format == "wrapped":
        paragraphs = (" ".join(paragraph.split()) for paragraph in parts)
        documents = iter(["\n".join(filter(None, paragraphs))])
    else:
        documents = ("\n".join(filter(None, map(str.strip, document.split("\n")))) for document in parts)
    return filter(None, documents)


def _read_segment(segment: Segment, text_format: str, counts: Counter[str]) -> bytes:
    """The segment's bytes, both ends moved to boundaries."""
    # What was appended to the file since it was planned does not count.
    wanted = min(segment.end + _CUT_WINDOW, segment.file_bytes) - segment.start
    with files.open_read(segment.path, segment.start) as stream:
        data = stream.read(wanted)
    if len(data) < wanted:
        raise InputError(
            f"{segment.path} must hold {segment.file_bytes:,} bytes, as it did when the job was planned",
            received=f"{segment.start + len(data):,} bytes",
            do="Leave the inputs alone while the job runs, then run it again",
        )
    first = 0 if segment.start == 0 else _cut(data, 0)[0]
    if segment.end == segment.file_bytes:
        return data[first:]
    last, between_documents = _cut(data, segment.end - segment.start)
    at_end = segment.start + last == segment.file_bytes
    if first < last and not at_end and (not between_documents or text_format == "wrapped"):
        counts["documents_cut"] += 1
    return data[first:last]


def _cut(data: bytes, nominal: int) -> tuple[int, bool]:
    """Moves a nominal cut to the next boundary, as a function of the file's bytes from there on alone.

    So the two blocks that meet at a cut agree on it without a word.

    Returns:
        Where to cut, and whether it is at a blank line or the file's end; else it is at a line end, a space, or between
        characters.
    """
    window = data[nominal : nominal + _CUT_WINDOW]
    # A run of blank lines that reaches the end of the window might go on: it counts all the same, because both sides
    # see the same window.
    if found := _BLANK_LINE.search(window):
        return nominal + found.end(), True
    if len(window) < _CUT_WINDOW:  # The file ends here, and with it the document.
        return nominal + len(window), True
    if found := _LINE_END.search(window) or _SPACE.search(window):
        return nominal + found.end(), False
    inside = 0
    while inside < 4 and window[inside] & 0xC0 == 0x80:  # UTF-8's continuation bytes.
        inside += 1
    return nominal + inside, False


def sniff_format(path: str) -> str:
    """Tells which of `FORMATS` a file of text is in, from its first 64 KiB.

    Lines that mostly do not end as sentences do are wrapped prose, unless each stands for a whole paragraph; groups
    of lines that do are documents, of sentences or, where most lines hold several, of paragraphs.
    """
    with files.open_read(path) as stream:
        data = stream.read(_SNIFF_BYTES)
    lines = _with_line_feeds(data.decode("utf-8", errors="replace")).split("\n")
    if len(data) == _SNIFF_BYTES and len(lines) > 1:
        lines.pop()  # Cut off.
    full = [line for line in map(str.strip, lines) if line]
    if not full:
        return "wrapped"
    ended = sum(bool(_SENTENCE_END.search(line)) for line in full) / len(full)
    if ended < 0.6 and sum(len(line) > 200 for line in full) < 0.2 * len(full):
        return "wrapped"
    several = sum(bool(_INNER_SENTENCE.search(line)) for line in full) / len(full)
    return "lines" if several > 0.3 else "bert"
