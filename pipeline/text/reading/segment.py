"""A part of a file, as read by a reader."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file.

    Attributes:
        path: the file.
        start: the first byte, before it is moved to a boundary; for Parquet, the first row group. In files with pieces
            it is at the beginning of one, and does not move.
        end: likewise, the byte or row group after the last.
        file_bytes: size of the whole file.
        text_bytes: bytes of text, as far as known without reading the file.
        format: a key of `pipeline.text.reading.formats.FORMATS`.
        compression: "gzip", "bzip2", "zstd", "xz", or "" for none. A compressed file is a single segment.
        modified: the file's modification time, as reported by its file system.
    """

    path: str
    start: int
    end: int
    file_bytes: int
    text_bytes: int
    format: str = "lines"
    compression: str = ""
    modified: str = ""
