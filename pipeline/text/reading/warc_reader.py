"""Reads web archives (WARC, ISO 28500): one document per record of plain text, as in Common Crawl's WET files."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline import files
from pipeline.errors import InputError
from pipeline.text.reading.byte_range import CHUNK_BYTES
from pipeline.text.reading.compression import read_decompressed
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.segment import Segment

_MOST_HEADER_BYTES = 1 << 16
_LONGEST = 1 << 27  # Bytes of a document.
_SAMPLE_BYTES = 400
_WITH_TEXT = {"conversion", "resource"}
_DESCRIBING = {"warcinfo", "request", "metadata", "revisit"}  # Records that hold no document of their own.


def size_of_archive(path: str) -> tuple[int]:
    """Returns the size of a file, which is one piece: its records can only be found from its beginning.

    Raises:
        InputError: if it cannot be read.
    """
    with files.open_read(path) as stream:
        return (stream.seek(0, 2),)


def read_warc(segment: Segment, counts: TextCounts) -> Iterator[Document]:
    """Reads the documents of a web archive: its records of the type text/plain.

    Args:
        segment: the file to read.
        counts: gets "dropped/not_plain_text" for records of other content, such as HTML or images, and
            "dropped/too_long" for texts of more than 128 MiB.

    Yields:
        The documents, with their texts unchanged. A byte that is not valid UTF-8 is a lone surrogate
        (`surrogateescape`).

    Raises:
        InputError: if the file cannot be read, is damaged or truncated, or is not a web archive.
    """
    stream = _Stream(segment)
    number = 0
    while (line := stream.line()) is not None:
        if not line:
            continue
        number += 1
        if not line.startswith(b"WARC/"):
            raise _damaged(segment.path, f"{line[:40]!r} where record {number:,} should begin")
        header = _read_header(stream)
        length = header.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            raise _damaged(segment.path, f"record {number:,} with Content-Length {length or 'missing'}")
        content = stream.take(int(length))
        kind = header.get("warc-type", "").lower()
        place = f"record {number:,}, {header.get('warc-target-uri', 'without a URI')}"
        is_text = header.get("content-type", "").split(";")[0].strip().lower() == "text/plain"
        if is_text and kind in _WITH_TEXT and int(length) <= _LONGEST:
            yield Document(b"".join(content).decode("utf-8", "surrogateescape"), segment.path, place)
            continue
        begins = next(content, b"")[:_SAMPLE_BYTES]
        for _ in content:  # However long the record is.
            pass
        if kind not in _DESCRIBING:
            reason = "too_long" if is_text and kind in _WITH_TEXT else "not_plain_text"
            counts.drop(Document(begins.decode("utf-8", "surrogateescape"), segment.path, place), reason)
    if not number:
        raise _damaged(segment.path, "no record")


class _Stream:
    """The lines and bytes of a file, decompressed."""

    def __init__(self, segment: Segment) -> None:
        self._path = segment.path
        self._chunks = read_decompressed(segment.path, segment.compression) if segment.compression else _read(segment)
        self._data, self._at = b"", 0

    def line(self) -> bytes | None:
        """Returns the next line without its end; None at the end of the file."""
        while (end := self._data.find(b"\n", self._at)) < 0:
            if len(self._data) - self._at > _MOST_HEADER_BYTES:
                raise _damaged(self._path, "a line that is too long for a record's header")
            if not self._more():
                if self._data[self._at :].strip():
                    raise _damaged(self._path, "a file that ends within a record's header")
                return None
        line = self._data[self._at : end]
        self._at = end + 1
        return line.rstrip(b"\r")

    def take(self, length: int) -> Iterator[bytes]:
        """Yields the next `length` bytes."""
        while length:
            taken = self._data[self._at : self._at + length]
            self._at += len(taken)
            length -= len(taken)
            yield taken
            if length and not self._more():
                raise _damaged(self._path, "a file that ends within a record")

    def _more(self) -> bool:
        chunk = next((chunk for chunk in self._chunks if chunk), b"")
        self._data, self._at = self._data[self._at :] + chunk, 0
        return bool(chunk)


def _read(segment: Segment) -> Iterator[bytes]:
    with files.open_read(segment.path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def _read_header(stream: _Stream) -> dict[str, str]:
    header: dict[str, str] = {}
    while line := stream.line():
        name, _, value = line.decode("utf-8", "replace").partition(":")
        header.setdefault(name.strip().lower(), value.strip())
    return header


def _damaged(path: str, what: str) -> InputError:
    return InputError(
        f"{path} is not a complete web archive (WARC)",
        received=what,
        do="Download it again; the results of other files are kept",
    )
