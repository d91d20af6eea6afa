"""Reading raw text: the documents of a segment, in the formats that text comes in.

A document is handed on as one string, a paragraph (or, in BERT's format, a sentence) a line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from pipeline import files
from pipeline.errors import ConfigError, InputError
from pipeline.text.plan import Segment

FORMATS = {
    "bert": "a sentence a line, a blank line between documents (google-research/bert)",
    "lines": "a paragraph a line, a blank line between documents",
    "wrapped": "prose in lines of limited width, a blank line between paragraphs, a document a file",
}
_CUT_WINDOW = 1 << 20  # How far past a nominal cut a boundary is looked for, in bytes.
_SNIFF_BYTES = 1 << 16
_BLANK_LINE = re.compile(rb"\r?\n[ \t]*\r?\n\s*")
_LINE_END = re.compile(rb"\r?\n")
_SENTENCE_END = re.compile(r"[.!?…。！？।؟:;\"”’'»)\]]$")
_INNER_SENTENCE = re.compile(r"[.!?…][\"”’')\]]*\s+[\"“‘'(\[]*[A-ZÀ-Þ]|[。！？।؟].")


def read_documents(segment: Segment, text_format: str, counts: Counter[str]) -> Iterator[str]:
    """Reads the documents that begin in a segment.

    Args:
        segment: which bytes of which file.
        text_format: a key of `FORMATS`.
        counts: gets "documents_cut" for a document cut in two because it is larger than a block, and
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
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", errors="replace")
    del data
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for document in _split_documents(text, text_format):
        if "\ufffd" in document:
            counts["invalid_utf8_documents"] += 1
        yield document


def _split_documents(text: str, text_format: str) -> Iterator[str]:
    if text_format == "wrapped":
        paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n[ \t]*\n", text))
        documents: list[str] | Iterator[str] = iter(["\n".join(filter(None, paragraphs))])
    else:
        documents = (
            "\n".join(filter(None, map(str.strip, document.split("\n")))) for document in re.split(r"\n[ \t]*\n", text)
        )
    return filter(None, documents)


def _read_segment(segment: Segment, text_format: str, counts: Counter[str]) -> bytes:
    """The segment's bytes, both ends moved to boundaries."""
    with files.open_read(segment.path, segment.start) as stream:
        data = stream.read(segment.end - segment.start + _CUT_WINDOW)
    wanted = segment.end - segment.start
    if len(data) < wanted:
        raise InputError(
            f"{segment.path} must hold {segment.file_bytes:,} bytes, as it did when the job was planned",
            received=f"{segment.start + len(data):,} bytes",
            do="Leave the inputs alone while the job runs, then run it again",
        )
    first = 0 if segment.start == 0 else _cut(data, 0)[0]
    last, clean = (len(data), True) if segment.end == segment.file_bytes else _cut(data, wanted)
    if not clean or (text_format == "wrapped" and segment.end < segment.file_bytes):
        counts["documents_cut"] += 1
    return data[first:last]


def _cut(data: bytes, nominal: int) -> tuple[int, bool]:
    """Moves a nominal cut to the next boundary, as a function of the file's bytes from there on alone.

    So the two blocks that meet at a cut agree on it without a word.

    Returns:
        Where to cut, and whether it is at a blank line; else it is at a line end, a space, or between characters.
    """
    window = data[nominal : nominal + _CUT_WINDOW]
    for pattern in (_BLANK_LINE, _LINE_END, re.compile(rb"[ \t]")):
        found = pattern.search(window)
        # A run of blank lines that reaches the end of the window might go on: it counts all the same, because both
        # sides see the same window.
        if found:
            return nominal + found.end(), pattern is _BLANK_LINE
    inside = 0
    while inside < min(4, len(window)) and window[inside] & 0xC0 == 0x80:  # UTF-8's continuation bytes.
        inside += 1
    return nominal + inside, False


def sniff_format(path: str) -> str:
    """Tells which of `FORMATS` a file of text is in, from its first 64 KiB.

    Lines that mostly do not end as sentences do are wrapped prose, unless each stands for a whole paragraph; groups
    of lines that do are documents, of sentences or, where most lines hold several, of paragraphs.
    """
    with files.open_read(path) as stream:
        text = stream.read(_SNIFF_BYTES).decode("utf-8", errors="replace").replace("\r\n", "\n")
    lines = [line.strip() for line in text.split("\n")[:-1] or [text]]
    full = [line for line in lines if line]
    if not full:
        return "wrapped"
    ended = sum(bool(_SENTENCE_END.search(line)) for line in full) / len(full)
    if ended < 0.6 and sum(len(line) > 200 for line in full) < 0.2 * len(full):
        return "wrapped"
    several = sum(bool(_INNER_SENTENCE.search(line)) for line in full) / len(full)
    return "lines" if several > 0.3 else "bert"


def check_format(text_format: str) -> None:
    """Checks that `text_format` is one of `FORMATS`.

    Raises:
        ConfigError: if it is not.
    """
    if text_format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}", received=repr(text_format))
