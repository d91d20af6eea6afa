"""Decodes a stream of bytes as text and splits it at the separators of documents."""

from __future__ import annotations

import codecs
import io
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

# Decoded at a time. Python stores a text with one wide character in two or four bytes for each of its characters, which
# makes all that follows slower: most short pieces have none, though a long one does.
_PIECE_BYTES = 1 << 16


def split_stream(
    chunks: Iterable[bytes],
    separator: re.Pattern[str],
    counts: Counter[str],
    *,
    file_begins: bool,
    longest: int = sys.maxsize,
) -> Iterator[str]:
    """Splits a stream of UTF-8 as `separator.split` would split all of it, holding only one part and chunk in memory.

    Args:
        chunks: the bytes.
        separator: pattern of the separator between parts, in text whose lines, including the last, end in line feeds.
        counts: gets "documents_cut" for each cut in a part that is too long.
        file_begins: whether the stream begins at the start of a file, so that a byte order mark is skipped.
        longest: maximum number of characters in a part; longer parts are cut.

    Yields:
        The parts. A byte that is not valid UTF-8 is a lone surrogate (`surrogateescape`).
    """
    codec = codecs.getincrementaldecoder("utf-8-sig" if file_begins else "utf-8")
    decoder = io.IncrementalNewlineDecoder(codec("surrogateescape"), translate=True)
    rest, waiting, waiting_length = "", [], 0
    pieces = (chunk[i : i + _PIECE_BYTES] for chunk in chunks for i in range(0, len(chunk), _PIECE_BYTES))
    for chunk in itertools.chain(pieces, [b""]):
        waiting.append(decoder.decode(chunk, final=not chunk))
        waiting_length += len(waiting[-1])
        if waiting_length < len(rest):  # A long part is searched again only once it has doubled.
            continue
        *parts, rest = separator.split("".join([rest, *waiting]))
        waiting, waiting_length = [], 0
        *begun, rest = _cut(rest, longest, counts)
        for part in (*parts, *begun):
            yield from _cut(part, longest, counts)
    for part in separator.split("".join([rest, *waiting, "\n"])):
        yield from _cut(part, longest, counts)


def _cut(part: str, longest: int, counts: Counter[str]) -> Iterator[str]:
    """Cuts a part that is too long at the best boundaries."""
    while len(part) > longest:
        cut = _last_boundary(part, longest)
        counts["documents_cut"] += 1
        yield part[:cut]
        part = part[cut:]
    yield part


def _last_boundary(text: str, end: int) -> int:
    """Returns the best place to cut `text`, between `end // 2` and `end`."""
    for boundary in ("\n\n", "\n", " "):
        found = text.rfind(boundary, end // 2, end)
        if found >= 0:
            return found + len(boundary)
    return end
