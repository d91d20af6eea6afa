"""Chunks: the runs of records that a shard is read in, and the index that says where they are.

A shard's records are grouped into chunks of a fixed number, the last of a shard being what is left. A corpus's index
has 8 bytes for each chunk, shard after shard in the order of the manifest: its length in bytes and its CRC-32C, both
uint32, little-endian, of the bytes as they are stored. In GZIP shards, each chunk is a member of its own, so that
reading can begin at any of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np

INDEX_NAME = "chunks.bin"
ENTRY_BYTES = 8
_TOKENS, _MOST_RECORDS = 8192, 64


def records_per_chunk(max_seq_length: int) -> int:
    """Returns how many records of some length a chunk has: some tens of kilobytes of them, at least one."""
    return min(max(_TOKENS // max_seq_length, 1), _MOST_RECORDS)


class ChunkWriter:
    """Divides the records of a shard into chunks, compresses them if wanted, and keeps their index.

    Args:
        records: the number of records of a chunk.
        compressed: whether each chunk becomes a GZIP member.
    """

    def __init__(self, records: int, *, compressed: bool) -> None:
        self._records = records
        self._compressed = compressed
        self._compressor = _new_compressor() if compressed else None
        self._held = 0  # Records of the chunk that is being written.
        self._bytes = self._crc = 0
        self._entries: list[tuple[int, int]] = []

    def write(self, records: np.ndarray, row_splits: np.ndarray) -> Iterator[memoryview | bytes]:
        """Yields the bytes to append to the shard.

        Args:
            records: uint8, framed records, one behind another.
            row_splits: int64 `[records + 1]`, where each begins.
        """
        first, last = 0, len(row_splits) - 1
        while first < last:
            end = min(first + self._records - self._held, last)
            yield from self._append(records[row_splits[first] : row_splits[end]])
            self._held += end - first
            first = end
            if self._held == self._records:
                yield from self._end_chunk()

    def finish(self) -> Iterator[bytes]:
        """Yields what is left to append."""
        if self._held:
            yield from self._end_chunk()
        elif self._compressor and not self._entries:
            yield self._compressor.flush()  # A file without records is a GZIP file, too.

    def index(self) -> bytes:
        """Returns the index of what was written."""
        return np.array(self._entries, "<u4").tobytes()

    def _append(self, data: np.ndarray) -> Iterator[memoryview | bytes]:
        stored = np.frombuffer(self._compressor.compress(data.data), np.uint8) if self._compressor else data
        if len(stored):
            self._bytes += len(stored)
            self._crc = google_crc32c.extend(self._crc, stored)
            yield stored.data

    def _end_chunk(self) -> Iterator[bytes]:
        if self._compressor:
            rest = self._compressor.flush()
            self._bytes += len(rest)
            self._crc = google_crc32c.extend(self._crc, rest)
            self._compressor = _new_compressor()
            yield rest
        self._entries.append((self._bytes, self._crc))
        self._held = self._bytes = self._crc = 0


def _new_compressor() -> Any:
    return zlib.compressobj(wbits=31)  # GZIP's format, without a time stamp.


def parse_index(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Returns where chunks begin, int64 `[chunks + 1]`, with where the last ends, and their CRC-32C, uint32."""
    entries = np.frombuffer(data, "<u4").reshape(-1, 2)
    offsets = np.zeros(len(entries) + 1, np.int64)
    np.cumsum(entries[:, 0], out=offsets[1:])
    return offsets, entries[:, 1]
