"""Detects the formats of files from their names, and those of text from its content."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Sequence

from pipeline.text.reading.content import HEAD_BYTES, read_head
from pipeline.text.reading.formats import format_and_compression

_SNIFFED_FILES = 5
_STOPS = "。！？।؟۔።။։॥។｡"
_SENTENCE_END = re.compile(rf"[.!?…{_STOPS}:;\"”’'»)\]]$")
_INNER_SENTENCE = re.compile(rf"[.!?…][\"”’')\]]*\s+[\"“‘'(\[]*([^\W\d_])|[{_STOPS}].")
_HARDLY_ANY_CAPITAL = 0.01  # Share of letters below which a lower-case letter may begin a sentence.


def sniff_formats(paths: Sequence[str]) -> list[str]:
    """Detects the formats of files.

    Args:
        paths: the files.

    Returns:
        A key of `pipeline.text.reading.formats.FORMATS` for each file: from its name, or, for text, the most frequent
        format in a small sample of the files. All text of an input has one format, so one odd file does not matter.

    Raises:
        InputError: if a file of the sample cannot be read.
    """
    formats = [format_and_compression(path)[0] for path in paths]
    unnamed = [path for path, name in zip(paths, formats, strict=True) if not name]
    looked_at = unnamed[:: -(-len(unnamed) // _SNIFFED_FILES)] if unnamed else []
    seen = Counter(map(sniff_format, looked_at))
    text_format = seen.most_common(1)[0][0] if seen else ""
    return [name or text_format for name in formats]


def sniff_format(path: str) -> str:
    """Detects which of `pipeline.text.reading.formats.TEXT_FORMATS` a file of text is in, from its first 64 KiB, or
    whether it is JSON Lines, like WikiExtractor's files, whose names do not show it.

    If most lines do not end like sentences, the text is wrapped prose, unless many are long enough to be paragraphs.
    Otherwise, each line is a paragraph if many lines hold several sentences, and a sentence if not.

    Raises:
        InputError: if the file cannot be read.
    """
    data = read_head(path, format_and_compression(path)[1])
    if _begins_with_json(data):
        return "jsonl"
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if len(data) == HEAD_BYTES and len(lines) > 1:
        lines.pop()  # Cut off.
    full = [line for line in map(str.strip, lines) if line]
    if not full:
        return "wrapped"
    ended = sum(bool(_SENTENCE_END.search(line)) for line in full) / len(full)
    if ended < 0.6 and sum(len(line) > 200 for line in full) < 0.2 * len(full):
        return "wrapped"
    capitals, letters = (sum(map(kind, text)) for kind in (str.isupper, str.isalpha))
    has_case = capitals > _HARDLY_ANY_CAPITAL * letters
    several = sum(_holds_several_sentences(line, has_case) for line in full) / len(full)
    return "lines" if several > 0.3 else "bert"


def _begins_with_json(data: bytes) -> bool:
    """Whether the first line is a JSON object, or the beginning of a long one."""
    line, line_feed, _ = data.removeprefix(codecs.BOM_UTF8).partition(b"\n")
    if not line_feed and len(data) == HEAD_BYTES:
        return re.match(rb'\{"[^"]*": ?["\d\[{tfn-]', line) is not None
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _holds_several_sentences(line: str, has_case: bool) -> bool:
    return any(not (has_case and found[1] and found[1].islower()) for found in _INNER_SENTENCE.finditer(line))
