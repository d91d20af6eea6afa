"""Reads Arrow's files, such as Hugging Face's saved datasets: one document per row, in a column of text.

A file is a sequence of messages: a schema, dictionaries, and batches of rows; see "Encapsulated message format" in
Arrow's columnar specification. Both of its formats are read: the stream, and the file with a footer (Feather).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from pipeline import files
from pipeline.errors import InputError
from pipeline.text.reading.columns import find_column, is_text, not_text, texts_of
from pipeline.text.reading.document import Document, TextCounts, place_in
from pipeline.text.reading.segment import Segment

_FILE_MAGIC = b"ARROW1\x00\x00"
_CONTINUATION = 0xFFFFFFFF
_RECORD_BATCH = 3  # In the union MessageHeader of Arrow's Message.fbs.
_HEADER_TYPE, _BODY_LENGTH = 1, 3  # The places of fields in the table Message.
_ROWS = 256  # Rows decoded at a time.


class _Message(NamedTuple):
    """A message: its kind, and its place in the file in bytes."""

    kind: int
    start: int
    end: int


def sizes_of_messages(path: str, text_field: str) -> tuple[int, ...]:
    """Finds the batches of rows of a file, without reading the rows.

    Args:
        path: the file.
        text_field: the column of the text; "a.b.c" for nested ones.

    Returns:
        The bytes from the beginning of each batch to that of the next: from the beginning of the file for the first,
        and to the end of the file for the last. Empty if there are no batches.

    Raises:
        InputError: if the file cannot be read, is not a whole Arrow file, or has no such column of text.
    """
    with _open(path) as stream:
        starts = [message.start for message in _messages(stream, 0) if message.kind == _RECORD_BATCH]
        size = stream.seek(0, io.SEEK_END)
        prefix = _prefix(stream)
    _, kind = find_column(path, _schema(path, prefix), text_field)
    if not is_text(kind):
        raise not_text(path, text_field, kind)
    ends = [*starts[1:], size]
    return tuple(end - start for start, end in zip([0, *starts[1:]], ends, strict=True)) if starts else ()


def read_arrow(segment: Segment, *, text_field: str, counts: TextCounts) -> Iterator[Document]:
    """Reads the documents of batches of rows of an Arrow file.

    Args:
        segment: the part of a file to read; it begins at a batch.
        text_field: the column of the text; "a.b.c" for nested ones.
        counts: gets "dropped/no_text" for a row without a value.

    Yields:
        The documents, with their texts unchanged. A byte that is not valid UTF-8 is a lone surrogate
        (`surrogateescape`).

    Raises:
        InputError: if the file cannot be read, is damaged, or differs from the plan.
    """
    with _open(segment.path) as stream:
        prefix = _prefix(stream)
        place, _ = find_column(segment.path, _schema(segment.path, prefix), text_field)
        number = 0
        for message in _messages(stream, segment.start):
            if message.start >= segment.end:
                break
            if message.kind != _RECORD_BATCH:
                continue
            stream.seek(message.start)
            column = _column(prefix + stream.read(message.end - message.start), place)
            for start in range(0, len(column), _ROWS):
                for text in texts_of(column[start : start + _ROWS]):
                    number += 1
                    document = Document(text or "", segment.path, place_in(segment, "row", number))
                    if text is None:
                        counts.drop(document, "no_text")
                    else:
                        yield document


def _messages(stream: IO[bytes], start: int) -> Iterator[_Message]:
    """Yields the messages from byte `start` to the end-of-stream marker; reads only their metadata.

    Raises:
        EOFError: if the file ends before the marker.
        ValueError: if there is anything but a message.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if not start and stream.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
        start = len(_FILE_MAGIC)
    while True:
        stream.seek(start)
        mark, length = struct.unpack("<Ii", _exactly(stream, 8))
        if mark != _CONTINUATION or length < 0:
            raise ValueError(f"no Arrow message at byte {start:,}")
        if not length:
            return
        kind, body = _kind_and_body(_exactly(stream, length))
        end = start + 8 + length + body
        if end > size:
            raise EOFError(f"a file that ends at byte {size:,}, within a message")
        yield _Message(kind, start, end)
        start = end


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError(f"a file that ends at byte {stream.tell():,}, without Arrow's end-of-stream marker")
    return data


def _kind_and_body(metadata: bytes) -> tuple[int, int]:
    """Reads from a message's metadata, a FlatBuffers table, what the message is and how many bytes its body has."""
    (table,) = struct.unpack_from("<I", metadata)
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    (vtable_bytes,) = struct.unpack_from("<H", metadata, vtable)

    def field(place: int, kind: str) -> int:
        entry = 4 + 2 * place
        offset = struct.unpack_from("<H", metadata, vtable + entry)[0] if entry < vtable_bytes else 0
        return int(struct.unpack_from(kind, metadata, table + offset)[0]) if offset else 0

    body = field(_BODY_LENGTH, "<q")
    if body < 0:
        raise ValueError("a message of negative length")
    return field(_HEADER_TYPE, "<B"), body


def _prefix(stream: IO[bytes]) -> bytes:
    """Reads the schema and the dictionaries before the first batch; followed by any batch, they form a stream."""
    begin = end = -1
    for message in _messages(stream, 0):
        begin = message.start if begin < 0 else begin
        if message.kind == _RECORD_BATCH:
            break
        end = message.end
    stream.seek(max(begin, 0))
    return stream.read(max(end - begin, 0))


def _schema(path: str, prefix: bytes) -> Any:
    import pyarrow as pa

    with _refused(path):
        return pa.ipc.open_stream(prefix).schema


def _column(stream: bytes, place: tuple[int, ...]) -> Any:
    """Decodes a column, or a field within one, of a stream of one batch."""
    import pyarrow as pa
    import pyarrow.compute as pc

    options = pa.ipc.IpcReadOptions(included_fields=[place[0]])
    column = pa.ipc.open_stream(stream, options=options).read_next_batch().column(0)
    return pc.struct_field(column, list(place[1:])) if place[1:] else column


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    with files.open_read(path) as stream, _refused(path):
        yield stream


@contextmanager
def _refused(path: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, EOFError, ValueError, struct.error) as error:
        raise InputError(
            f"{path} is not a complete Arrow file",
            received=" ".join(str(error).split())[:200],
            do="Download or write it again; the results of other files are kept",
        ) from error
