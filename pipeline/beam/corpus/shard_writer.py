"""Writes a shard incrementally."""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

from pipeline import files
from pipeline.manifest import Shard
from pipeline.records.spec import RecordSpec


class ShardWriter:
    """A shard being written; see `open_shard`.

    Attributes:
        spec: the shape of its examples.
        counts: counts of its examples: at least "examples", "tokens" and "predictions".
    """

    def __init__(self, writer: files.AtomicWriter, spec: RecordSpec, compression: str) -> None:
        self.spec = spec
        self.counts: Counter[str] = Counter()
        self._writer = writer
        # 31: gzip format, without a time stamp.
        self._compressor = zlib.compressobj(wbits=31) if compression == "gzip" else None

    def write(self, records: bytes | memoryview) -> None:
        """Appends TFRecords."""
        self._writer.write(self._compressor.compress(records) if self._compressor else records)

    def finish(self) -> None:
        """Writes the data still held by the compressor."""
        if self._compressor:
            self._writer.write(self._compressor.flush())

    def describe(self, name: str, split: str) -> Shard:
        """Returns the manifest's description of the finished shard."""
        return Shard(
            name=name,
            split=split,
            max_seq_length=self.spec.max_seq_length,
            max_predictions_per_seq=self.spec.max_predictions_per_seq,
            examples=self.counts["examples"],
            tokens=self.counts["tokens"],
            predictions=self.counts["predictions"],
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
