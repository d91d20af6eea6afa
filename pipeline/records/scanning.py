"""Reads TFRecord files from their first byte to their last, checks their framing, and indexes their chunks."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from pipeline.records.chunks import ChunkWriter
from pipeline.records.kernels import CRC_TABLES, DATA_DIFFER, HEADER_DIFFERS, TOO_LONG, find_records
from pipeline.records.tfrecord import HEADER_BYTES, damaged, open_records

_PIECE_BYTES = 1 << 22
_SHORTEST_RECORD = 16
REASONS = {
    HEADER_DIFFERS: "the checksum of its length differs",
    DATA_DIFFER: "the checksum of its data differs",
    TOO_LONG: "its length cannot be right",
}


class FileIndex(NamedTuple):
    """The chunks of a file.

    Attributes:
        examples: its records.
        entries: the index of its chunks; see `pipeline.records.chunks`.
    """

    examples: int
    entries: bytes


def scan(path: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the framed records of a file, uint8, in pieces, and where they begin, int64 `[records + 1]`.

    Raises:
        InputError: if it cannot be opened.
        CorpusError: at the first damaged record.
    """
    number = 0
    with open_records(path) as stream:
        kept = b""
        while True:
            try:
                piece = stream.read(_PIECE_BYTES)
            except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                raise damaged(path, number, f"its GZIP stream is damaged ({error})") from error
            data = np.frombuffer(kept + piece, np.uint8)
            splits = np.empty(len(data) // _SHORTEST_RECORD + 2, np.int64)
            count, fault = find_records(data, True, CRC_TABLES, splits)
            if fault:
                raise damaged(path, number + count, REASONS[fault])
            end = splits[count]
            if count:
                yield data[:end], splits[: count + 1]
            number += count
            kept = data[end:].tobytes()
            if not piece:
                break
        if kept:
            raise damaged(path, number, "its header is cut short" if len(kept) < HEADER_BYTES else "it is cut short")


def index_file(
    path: str, records_per_chunk: int, *, copy: Callable[[memoryview | bytes], None] | None = None
) -> FileIndex:
    """Indexes the chunks of a file.

    Args:
        path: the file.
        records_per_chunk: records of a chunk.
        copy: is given the bytes of a copy with a GZIP member for each chunk, whose index is returned. Without, `path`
            must not be compressed.

    Raises:
        InputError: if it cannot be opened.
        CorpusError: at the first damaged record.
    """
    writer = ChunkWriter(records_per_chunk, compressed=copy is not None)
    examples = 0
    for records, row_splits in scan(path):
        examples += len(row_splits) - 1
        for stored in writer.write(records, row_splits):
            if copy:
                copy(stored)
    for stored in writer.finish():
        if copy:
            copy(stored)
    return FileIndex(examples, writer.index())
