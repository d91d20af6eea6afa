"""A part of a file: what a reader reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file.

    Attributes:
        path: the file.
        start: its first byte, before it is moved to a boundary; of Parquet, the first row group.
        end: likewise, the one after the last.
        file_bytes: size of the whole file.
        text_bytes: bytes of text, as far as they are known without reading it.
        format: a key of `pipeline.text.reading.formats.FORMATS`.
        compression: "gzip", "bzip2", "zstd", "xz", or "" for none. A compressed file is one segment.
        modified: when the file was last written, as its file system tells it.
    """

    path: str
    start: int
    end: int
    file_bytes: int
    text_bytes: int
    format: str = "lines"
    compression: str = ""
    modified: str = ""
