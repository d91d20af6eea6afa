"""A stream of bytes as text, split at the separators of documents."""

from __future__ import annotations

import codecs
import io
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator


def split_stream(
    chunks: Iterable[bytes],
    separator: re.Pattern[str],
    counts: Counter[str],
    *,
    file_begins: bool,
    longest: int = sys.maxsize,
) -> Iterator[str]:
    """Splits a stream of UTF-8 as `separator.split` would split it whole, in memory for one part and one chunk.

    Args:
        chunks: the bytes.
        separator: what stands between parts, in text whose lines, the last one too, end in line feeds.
        counts: gets "documents_cut" for each cut in a part that is too long.
        file_begins: whether the stream begins where a file does: then a byte order mark is no text.
        longest: characters of the longest part; longer ones are cut.

    Yields:
        The parts. A byte that is not UTF-8 is half a surrogate pair (`surrogateescape`).
    """
    codec = codecs.getincrementaldecoder("utf-8-sig" if file_begins else "utf-8")
    decoder = io.IncrementalNewlineDecoder(codec("surrogateescape"), translate=True)
    rest, waiting, waiting_length = "", [], 0
    for chunk in itertools.chain(chunks, [b""]):
        waiting.append(decoder.decode(chunk, final=not chunk))
        waiting_length += len(waiting[-1])
        if waiting_length < len(rest):  # A long part is looked through again only when it has doubled.
            continue
        *parts, rest = separator.split("".join([rest, *waiting]))
        waiting, waiting_length = [], 0
        *begun, rest = _cut(rest, longest, counts)
        for part in (*parts, *begun):
            yield from _cut(part, longest, counts)
    for part in separator.split("".join([rest, *waiting, "\n"])):
        yield from _cut(part, longest, counts)


def _cut(part: str, longest: int, counts: Counter[str]) -> Iterator[str]:
    """Cuts a part that is too long where that does least harm."""
    while len(part) > longest:
        cut = _last_boundary(part, longest)
        counts["documents_cut"] += 1
        yield part[:cut]
        part = part[cut:]
    yield part


def _last_boundary(text: str, end: int) -> int:
    """The best place to cut `text`, in the second half of what is before `end`."""
    for boundary in ("\n\n", "\n", " "):
        found = text.rfind(boundary, end // 2, end)
        if found >= 0:
            return found + len(boundary)
    return end
