"""Reads chunks of records from files, checks their bytes, and keeps those that are still wanted."""

from __future__ import annotations

import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import google_crc32c
import numpy as np

from pipeline import files
from pipeline.errors import CorpusError
from pipeline.reader.source import Bin
from pipeline.records.chunks import records_per_chunk
from pipeline.records.kernels import CRC_TABLES, find_records
from pipeline.records.scanning import REASONS
from pipeline.records.tfrecord import damaged

_READ_AT_ONCE = 32  # From a store, where reading is mostly waiting.


class Chunk(NamedTuple):
    """A chunk in memory.

    Attributes:
        data: uint8, framed records, one behind another.
        splits: int64 `[records + 1]`, where they begin, and where the last ends.
        addresses: those of `data` and `splits`, for compiled loops.
    """

    data: np.ndarray
    splits: np.ndarray
    addresses: tuple[int, int]

    def record(self, number: int) -> bytes:
        """Returns the bytes of a record's data."""
        return self.data[self.splits[number] + 12 : self.splits[number + 1] - 4].tobytes()


@dataclass(frozen=True)
class ChunkFiles:
    """The chunks of a bin, by number: those of the first file, then those of the second...

    Attributes:
        group: the bin.
    """

    group: Bin

    @property
    def per_chunk(self) -> int:
        """Records of a chunk; a file's last may have fewer."""
        return records_per_chunk(self.group.spec.max_seq_length)

    def read(self, file: int, number: int) -> Chunk:
        """Reads a chunk.

        Args:
            file: the number of its file.
            number: its number in the file.

        Raises:
            InputError: if the file cannot be read.
            CorpusError: if the bytes are not those that the index describes.
        """
        path, offsets, checksums = self.group.index.of_file(file)
        begin, end = int(offsets[number]), int(offsets[number + 1])
        first = number * self.per_chunk
        records = min(self.per_chunk, self.group.file_examples[file] - first)
        stored = files.read_range(path, begin, end - begin)
        if len(stored) < end - begin:
            raise self._mismatch(path, first, records, f"a file that ends before byte {end:,}")
        if google_crc32c.value(stored) != checksums[number]:
            raise self._damage(path, stored, first, records)
        data = np.frombuffer(_uncompressed(stored) if path.endswith(".gz") else stored, np.uint8)
        splits = np.empty(records + 1, np.int64)
        count, fault = find_records(data, False, CRC_TABLES, splits)
        if fault or count != records or splits[count] != len(data):
            raise self._mismatch(path, first, records, "other records")
        return Chunk(data, splits, (data.ctypes.data, splits.ctypes.data))

    def records(self, file: int, start: int) -> Iterator[tuple[int, bytes]]:
        """Yields the records of a file from one on, with their numbers; what is before its chunk is not read.

        Raises:
            InputError, CorpusError: as `read`.
        """
        examples = self.group.file_examples[file]
        for number in range(start // self.per_chunk, -(-examples // self.per_chunk)):
            first = number * self.per_chunk
            chunk = self.read(file, number)
            for record in range(max(start - first, 0), len(chunk.splits) - 1):
                yield first + record, chunk.record(record)

    def _damage(self, path: str, stored: bytes, first: int, records: int) -> CorpusError:
        """What is wrong with bytes whose checksum differs: a damaged record, or whole ones that are not the index's."""
        try:
            data = np.frombuffer(_uncompressed(stored) if path.endswith(".gz") else stored, np.uint8)
        except (zlib.error, EOFError) as error:
            return damaged(path, first, f"its GZIP stream is damaged ({error})")
        splits = np.empty(records + 1, np.int64)
        count, fault = find_records(data, True, CRC_TABLES, splits)
        if fault:
            return damaged(path, first + count, REASONS[fault])
        return self._mismatch(path, first, records, "whole records of other bytes")

    def _mismatch(self, path: str, first: int, records: int, received: str) -> CorpusError:
        return CorpusError(
            f"Records {first:,} to {first + records - 1:,} of {path} must be those that its index describes",
            received=received,
            do="If the corpus was made again while it was read, start again with another run directory; otherwise"
            " copy the shard and the index again (validate shows which of them is damaged)",
        )


def _uncompressed(stored: bytes) -> bytes:
    return zlib.decompress(stored, wbits=31)


class ChunkCache:
    """Chunks in memory: of the windows that were wanted last, each chunk read once however many threads want it.

    Args:
        chunks: reads them.
        windows: how many windows to keep.
    """

    def __init__(self, chunks: ChunkFiles, windows: int) -> None:
        self._chunks = chunks
        self._windows = windows
        self._begin_process()

    def _begin_process(self) -> None:
        """Starts with nothing held: a forked process has neither the threads of its maker, nor what they wait for."""
        self._process = os.getpid()
        self._held: OrderedDict[int, dict[tuple[int, int], Chunk | Future[Chunk]]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_READ_AT_ONCE) if files.is_remote(self._chunks.group.paths[0]) else None

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkCache, (self._chunks, self._windows)  # What is held stays in this process.

    @property
    def reads_ahead(self) -> bool:
        """Whether `read_ahead` does anything."""
        return self._pool is not None

    def get(self, wanted: list[tuple[int, int, int]]) -> list[Chunk]:
        """Returns chunks, by window, file and number in the file.

        Raises:
            UserError: as `ChunkFiles.read`.
        """
        return [found if isinstance(found, Chunk) else found.result() for found in self._begin(wanted)]

    def read_ahead(self, wanted: list[tuple[int, int, int]]) -> None:
        """Begins to read chunks, where reading is mostly waiting."""
        if self._pool:
            self._begin(wanted)

    def _begin(self, wanted: list[tuple[int, int, int]]) -> list[Chunk | Future[Chunk]]:
        found: list[Chunk | Future[Chunk]] = []
        new: list[tuple[int, int, int, Future[Chunk]]] = []
        if self._process != os.getpid():
            self._begin_process()
        with self._lock:
            for window in dict.fromkeys(window for window, _, _ in wanted):
                self._held.setdefault(window, {})
                self._held.move_to_end(window)
            for window, file, number in wanted:
                held = self._held[window]
                chunk = held.get((file, number))
                if chunk is None:
                    chunk = held[file, number] = Future()
                    new.append((window, file, number, chunk))
                found.append(chunk)
            while len(self._held) > self._windows:
                self._held.popitem(last=False)
        for window, file, number, future in new:
            try:
                if self._pool:
                    self._pool.submit(self._read, window, file, number, future)
                    continue
            except RuntimeError:  # The interpreter is ending; whoever waits for the chunk must not wait forever.
                pass
            self._read(window, file, number, future)
        return found

    def _read(self, window: int, file: int, number: int, future: Future[Chunk]) -> None:
        try:
            chunk = self._chunks.read(file, number)
        except BaseException as error:  # Whoever wants the chunk raises it; a passing fault is not kept.
            with self._lock:
                self._held.get(window, {}).pop((file, number), None)
            future.set_exception(error)
        else:
            with self._lock:
                if window in self._held:
                    self._held[window][file, number] = chunk
            future.set_result(chunk)
