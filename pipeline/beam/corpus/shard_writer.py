"""Writes a shard incrementally."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from pipeline import files
from pipeline.manifest import Shard
from pipeline.records.chunks import ChunkWriter, records_per_chunk
from pipeline.records.spec import RecordSpec


class ShardWriter:
    """A shard being written; see `open_shard`.

    Attributes:
        spec: the shape of its examples.
    """

    def __init__(self, writer: files.AtomicWriter, spec: RecordSpec, compression: str) -> None:
        self.spec = spec
        self._writer = writer
        self._chunks = ChunkWriter(records_per_chunk(spec.max_seq_length), compressed=compression == "gzip")

    def write(self, records: np.ndarray, row_splits: np.ndarray) -> None:
        """Appends TFRecords, as `pipeline.records.spec.encode_tfrecords` returns them."""
        for stored in self._chunks.write(records, row_splits):
            self._writer.write(stored)

    def finish(self) -> None:
        """Writes what the last chunk still holds."""
        for stored in self._chunks.finish():
            self._writer.write(stored)

    def index(self) -> bytes:
        """Returns the index of the finished shard's chunks; see `pipeline.records.chunks`."""
        return self._chunks.index()

    def describe(self, name: str, split: str, counts: Counter[str]) -> Shard:
        """Returns the manifest's description of the finished shard.

        Args:
            name: its file name.
            split: "train" or "validation".
            counts: counts of its examples: "examples", "tokens" and "predictions".
        """
        return Shard(
            name=name,
            split=split,
            max_seq_length=self.spec.max_seq_length,
            max_predictions_per_seq=self.spec.max_predictions_per_seq,
            examples=counts["examples"],
            tokens=counts["tokens"],
            predictions=counts["predictions"],
            bytes=self._writer.bytes,
            sha256=self._writer.sha256,
        )


@contextlib.contextmanager
def open_shard(
    path: str, spec: RecordSpec, compression: str, before_naming: Callable[[], None] | None = None
) -> Iterator[ShardWriter]:
    """Opens a shard for writing; it gets its final name when the body ends, and does not exist if the body fails.

    Args:
        path: the file.
        spec: the shape of its examples.
        compression: "gzip" or "none".
        before_naming: see `files.write_file`.

    Raises:
        OutputError: if it cannot be written.
    """
    with files.write_file(path, before_naming) as writer:
        shard = ShardWriter(writer, spec, compression)
        yield shard
        shard.finish()
