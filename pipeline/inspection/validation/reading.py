"""Reads a shard to check it: reports every damage, and continues after it if possible."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, cast

import numpy as np

from pipeline import files
from pipeline.inspection.validation.problems import RecordProblems
from pipeline.inspection.validation.structure import check_ranges
from pipeline.records.decoding import decode_examples
from pipeline.records.spec import RecordSpec, encode_tfrecords
from pipeline.records.tfrecord import FOOTER_BYTES, HEADER_BYTES, read_records, uncompressed

_TOKENS_A_BATCH = 1 << 18


class Batch(NamedTuple):
    """Some examples of a shard.

    Attributes:
        columns: by v2 feature name, as `pipeline.records.decoding.decode_examples` returns them; all values in range.
        numbers: int64 `[examples]`, the numbers of their records, from 0.
    """

    columns: dict[str, np.ndarray]
    numbers: np.ndarray

    def take(self, rows: np.ndarray) -> Batch:
        """Returns the examples where `rows`, bool `[examples]`, is True."""
        if rows.all():
            return self
        return Batch({name: values[rows] for name, values in self.columns.items()}, self.numbers[rows])


class ShardReader:
    """Reads a shard once, from its first byte to its last.

    Args:
        path: its path.
        spec: the shape of its examples.
        vocab_size: entries of its vocabulary.
        found: collects the problems of its records.

    Attributes:
        records: the number of records read so far, including damaged ones.
        bytes: the size of the file, set when all batches have been read.
        sha256: its SHA-256, hexadecimal, set when all batches have been read.
    """

    def __init__(self, path: str, spec: RecordSpec, vocab_size: int, found: RecordProblems) -> None:
        self._path = path
        self._spec = spec
        self._vocab_size = vocab_size
        self._found = found
        self.records = 0
        self.bytes = 0
        self.sha256 = ""

    def batches(self) -> Iterator[Batch]:
        """Yields the examples that can be decoded and whose values are in range.

        Raises:
            InputError: if the file cannot be read.
        """
        with files.open_read(self._path) as stream:
            hashed = _HashedStream(stream)
            plain = uncompressed(cast(IO[bytes], hashed), self._path)
            for numbers, records in self._whole_records(plain):
                yield self._decode(numbers, records)
            while hashed.read(1 << 20):  # The bytes after a damaged record.
                pass
        self.bytes, self.sha256 = hashed.bytes, hashed.hash.hexdigest()

    def _whole_records(self, stream: IO[bytes]) -> Iterator[tuple[list[int], list[bytes]]]:
        size = max(1, _TOKENS_A_BATCH // self._spec.max_seq_length)
        numbers: list[int] = []
        records: list[bytes] = []
        for number, record in read_records(stream, self._damaged):
            self.records += 1
            numbers.append(number)
            records.append(record)
            if len(records) == size:
                yield numbers, records
                numbers, records = [], []
        if records:
            yield numbers, records

    def _damaged(self, number: int, reason: str) -> None:
        self.records += 1
        self._found.add("framing", reason, [number])

    def _decode(self, numbers: list[int], records: list[bytes]) -> Batch:
        try:
            columns = decode_examples(self._spec, records)
        except ValueError:
            numbers, records = self._decodable(numbers, records)
            columns = decode_examples(self._spec, records)
        batch = Batch(columns, np.array(numbers, np.int64))
        in_range = np.ones(len(records), bool)
        for message, bad in check_ranges(columns, self._spec, self._vocab_size):
            self._found.add("format", message, batch.numbers[bad])
            in_range &= ~bad
        batch = batch.take(in_range)
        self._check_canonical(batch, [records[row] for row in np.flatnonzero(in_range)])
        return batch

    def _decodable(self, numbers: list[int], records: list[bytes]) -> tuple[list[int], list[bytes]]:
        """Finds the records that can be decoded, one by one, which is slow but rarely needed."""
        good = []
        for index, record in enumerate(records):
            try:
                decode_examples(self._spec, [record])
                good.append(index)
            except ValueError as error:
                self._found.add("format", f"it cannot be decoded: {error}", [numbers[index]])
        return [numbers[index] for index in good], [records[index] for index in good]

    def _check_canonical(self, batch: Batch, records: list[bytes]) -> None:
        framed, row_splits = encode_tfrecords(self._spec, batch.columns)
        expected = framed.tobytes()
        starts, ends = (row_splits[:-1] + HEADER_BYTES).tolist(), (row_splits[1:] - FOOTER_BYTES).tolist()
        same = [expected[start:end] == record for start, end, record in zip(starts, ends, records, strict=True)]
        different = batch.numbers[~np.array(same, bool)]
        self._found.add("format", "its bytes must be those of the canonical encoding", different)


class _HashedStream(io.RawIOBase):
    """Reads a stream, and counts and hashes its bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self.hash = hashlib.sha256()
        self.bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.hash.update(data)
        self.bytes += len(data)
        return len(data)
