"""Reads examples of one bin, by where they are stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.errors import CorpusError
from pipeline.reader.chunks import Chunk, ChunkCache, ChunkFiles
from pipeline.reader.decoding import Decoder
from pipeline.reader.order import Located
from pipeline.reader.source import Bin
from pipeline.records.decoding import Range, check_examples


class Places(NamedTuple):
    """Where some examples are stored.

    Attributes:
        windows: int64 `[n]`, the window that each is read in; see `pipeline.reader.order`.
        files: int64 `[n]`, the number of its file in the bin.
        chunks: int64 `[n]`, the number of its chunk in the file.
        records: int64 `[n]`, its number in the chunk.
    """

    windows: np.ndarray
    files: np.ndarray
    chunks: np.ndarray
    records: np.ndarray

    def take(self, indices: np.ndarray | slice) -> Places:
        """Returns some of them."""
        return Places(*(column[indices] for column in self))


class BinReader:
    """Reads examples of one bin.

    Args:
        group: the bin.
        decoder: decodes its records.
        ranges: the allowed values of features, by v2 name; for messages.
        windows: how many windows are kept in memory.
    """

    def __init__(self, group: Bin, decoder: Decoder, ranges: dict[str, Range], windows: int) -> None:
        self.group = group
        self.files = ChunkFiles(group)
        self._decoder = decoder
        self._ranges = ranges
        self._cache = ChunkCache(self.files, windows)
        examples = np.array(group.file_examples, np.int64)
        self._full, rest = np.divmod(examples, self.files.per_chunk)
        self._first_example, self._first_full, self._first_rest, self._first_chunk = (
            np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers)])
            for numbers in (examples, self._full, rest, self._full + (rest > 0))
        )

    def places_of(self, located: Located) -> Places:
        """Returns where positions of an order are stored.

        The order's chunks are the full chunks of all files, and then, in chunks of the same number, what the files
        have left.
        """
        per_chunk = self.files.per_chunk
        files = np.searchsorted(self._first_full, located.chunks, side="right") - 1
        chunks, records = located.chunks - self._first_full[np.minimum(files, len(self._full))], located.records
        left = located.chunks >= self._first_full[-1]
        if left.any():
            rest = (located.chunks[left] - self._first_full[-1]) * per_chunk + records[left]
            files[left] = np.searchsorted(self._first_rest, rest, side="right") - 1
            chunks[left] = self._full[files[left]]
            records = records.copy()
            records[left] = rest - self._first_rest[files[left]]
        return Places(located.windows, files, chunks, records)

    def places_in_order(self, examples: np.ndarray, window: int) -> Places:
        """Returns where examples are stored, by their numbers, int64 `[n]`; `window` of them are read together."""
        files = np.searchsorted(self._first_example, examples, side="right") - 1
        chunks, records = np.divmod(examples - self._first_example[files], self.files.per_chunk)
        return Places(examples // window, files, chunks, records)

    def numbers(self, places: Places) -> np.ndarray:
        """Returns the examples' numbers in the bin, int64 `[n]`."""
        numbers: np.ndarray = self._first_example[places.files] + self.record_numbers(places)
        return numbers

    def record_numbers(self, places: Places) -> np.ndarray:
        """Returns the records' numbers in their files, int64 `[n]`."""
        numbers: np.ndarray = places.chunks * self.files.per_chunk + places.records
        return numbers

    def read(self, places: Places) -> dict[str, np.ndarray]:
        """Reads examples.

        Returns:
            By v2 name, int32 or float32 `[n, length]`.

        Raises:
            InputError: if a file cannot be read.
            CorpusError: if a record is damaged, or not what it must be; it is named.
        """
        wanted, chunk_of = self._chunks_of(places)
        chunks = self._cache.get(wanted)
        columns, fault = self._decoder.decode(chunks, chunk_of, places.records)
        if fault >= 0:
            self._explain(chunks[chunk_of[fault]], places.take(slice(fault, fault + 1)))
        return columns

    @property
    def reads_ahead(self) -> bool:
        """Whether `read_ahead` does anything: reading is mostly waiting."""
        return self._cache.reads_ahead

    def read_ahead(self, places: Places) -> None:
        """Begins to read the chunks of examples."""
        self._cache.read_ahead(self._chunks_of(places)[0])

    def serialized(self, places: Places) -> list[bytes]:
        """Reads examples as they are stored: serialised `tf.train.Example`s."""
        wanted, chunk_of = self._chunks_of(places)
        chunks = self._cache.get(wanted)
        rows = zip(chunk_of.tolist(), places.records.tolist(), strict=True)
        return [chunks[chunk].record(record) for chunk, record in rows]

    def _chunks_of(self, places: Places) -> tuple[list[tuple[int, int, int]], np.ndarray]:
        """The chunks that examples are in, by window, file and number in the file, and in which of them each is."""
        total = int(self._first_chunk[-1])
        keys = places.windows * total + self._first_chunk[places.files] + places.chunks
        _, first, chunk_of = np.unique(keys, return_index=True, return_inverse=True)
        columns = (column[first].tolist() for column in (places.windows, places.files, places.chunks))
        return list(zip(*columns, strict=True)), chunk_of

    def _explain(self, chunk: Chunk, place: Places) -> None:
        """Raises an error that says what is wrong with a record."""
        path, number = self.group.paths[int(place.files[0])], int(self.record_numbers(place)[0])
        record = chunk.record(int(place.records[0]))
        check_examples(self.group.spec, [record], self._ranges, path, number)
        raise CorpusError(f"Record {number:,} of {path} lacks a requested feature, or has it with another length")
