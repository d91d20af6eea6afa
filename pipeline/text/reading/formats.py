"""The formats of raw text: their descriptions, file names and readers.

To add a format, write a module with its reader, and add an entry to `FORMATS`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.text.reading.arrow_reader import read_arrow, sizes_of_messages
from pipeline.text.reading.csv_reader import read_csv, sizes_of_rows
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.jsonl_reader import read_jsonl
from pipeline.text.reading.parquet_reader import read_parquet, text_bytes_of_row_groups
from pipeline.text.reading.segment import Segment
from pipeline.text.reading.separators import separators
from pipeline.text.reading.text_reader import normalized_lines, read_text
from pipeline.text.reading.warc_reader import read_warc, size_of_archive


class ReadingOptions(Protocol):
    """The options that readers use; see `pipeline.text.config.TextConfig`."""

    @property
    def text_field(self) -> str:
        """The field of a record that holds its text."""

    @property
    def document_separator(self) -> str:
        """The separator between documents of text."""

    @property
    def on_bad_text(self) -> str:
        """ "replace" or "drop"."""

    @property
    def csv_quotes(self) -> str:
        """ "double" or "none"."""

    @property
    def block_bytes(self) -> int:
        """The size of a block; 0 if it is not given."""


Reader = Callable[[Segment, ReadingOptions, TextCounts], Iterator[Document]]


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        description: a short description.
        read: reads the documents that begin in a segment; see `pipeline.text.readers.read_documents`.
        endings: file name endings that identify the format; empty if it is detected from the content.
        pieces: for a format whose files can only be cut between pieces, such as Parquet's row groups: returns the sizes
            of the pieces of a file that is not compressed, given its path. None for files that can be cut anywhere: the
            reader looks for the next boundary.
        numbered: whether a segment's ends are the numbers of pieces, as for Parquet's row groups. If not, they are
            bytes: the sizes of the pieces add up to the file's.
        is_text: whether files are text in UTF-8, which the beginning of a file must show.
        may_be_compressed: whether files may be compressed as a whole.
    """

    description: str
    read: Reader
    endings: tuple[str, ...] = ()
    pieces: Callable[[str, ReadingOptions], tuple[int, ...]] | None = None
    numbered: bool = False
    is_text: bool = True
    may_be_compressed: bool = True


def _read_text(segment: Segment, options: ReadingOptions, counts: TextCounts) -> Iterator[Document]:
    return read_text(segment, separators(segment.format, options.document_separator), counts)


def _read_jsonl(segment: Segment, options: ReadingOptions, counts: TextCounts) -> Iterator[Document]:
    drop_bad = options.on_bad_text == "drop"
    return map(_lines, read_jsonl(segment, text_field=options.text_field, drop_bad=drop_bad, counts=counts))


def _read_parquet(segment: Segment, options: ReadingOptions, counts: TextCounts) -> Iterator[Document]:
    return map(_lines, read_parquet(segment, text_field=options.text_field, counts=counts))


def _read_arrow(segment: Segment, options: ReadingOptions, counts: TextCounts) -> Iterator[Document]:
    return map(_lines, read_arrow(segment, text_field=options.text_field, counts=counts))


def _read_csv(segment: Segment, options: ReadingOptions, counts: TextCounts) -> Iterator[Document]:
    drop_bad = options.on_bad_text == "drop"
    rows = read_csv(segment, text_field=options.text_field, quotes=options.csv_quotes, drop_bad=drop_bad, counts=counts)
    return map(_lines, rows)


def _pieces_of_csv(text_format: str) -> Callable[[str, ReadingOptions], tuple[int, ...]]:
    def pieces(path: str, options: ReadingOptions) -> tuple[int, ...]:
        return sizes_of_rows(
            path,
            text_format,
            text_field=options.text_field,
            quotes=options.csv_quotes,
            block_bytes=options.block_bytes,
        )

    return pieces


def _read_warc(segment: Segment, options: ReadingOptions, counts: TextCounts) -> Iterator[Document]:
    return map(_lines, read_warc(segment, counts))


def _lines(document: Document) -> Document:
    return document._replace(text=normalized_lines(document.text))


TEXT_FORMATS = {
    "bert": Format("one sentence per line, a blank line between documents (google-research/bert)", _read_text),
    "lines": Format("one paragraph per line, a blank line between documents", _read_text),
    "wrapped": Format(
        "prose in lines of limited width, a blank line between paragraphs, three between documents or chapters",
        _read_text,
    ),
}
FORMATS = TEXT_FORMATS | {
    "jsonl": Format(
        "one JSON object per line, with the text in text_field", _read_jsonl, endings=(".jsonl", ".ndjson", ".json")
    ),
    "parquet": Format(
        "one document per row, in the column text_field",
        _read_parquet,
        endings=(".parquet",),
        pieces=lambda path, options: text_bytes_of_row_groups(path, options.text_field),
        numbered=True,
        is_text=False,
        may_be_compressed=False,
    ),
    "arrow": Format(
        "one document per row, in the column text_field, as Hugging Face's datasets are saved",
        _read_arrow,
        endings=(".arrow", ".feather"),
        pieces=lambda path, options: sizes_of_messages(path, options.text_field),
        is_text=False,
        may_be_compressed=False,
    ),
    "csv": Format(
        "one document per row, in the column text_field, which the first row names",
        _read_csv,
        endings=(".csv",),
        pieces=_pieces_of_csv("csv"),
    ),
    "tsv": Format("the same with tabs", _read_csv, endings=(".tsv",), pieces=_pieces_of_csv("tsv")),
    "warc": Format(
        "the plain text in a web archive, as in Common Crawl's WET files",
        _read_warc,
        endings=(".warc", ".wet"),
        pieces=lambda path, options: size_of_archive(path),
        is_text=False,
    ),
}
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd", ".xz": "xz"}


def format_and_compression(path: str) -> tuple[str, str]:
    """Detects a file's format and compression from its name.

    Returns:
        A key of `FORMATS`, or "" for text, whose format cannot be detected from the name; and "gzip", "bzip2", "zstd",
        "xz", or "" for none. Parquet compresses internally.
    """
    stem, extension = posixpath.splitext(path.lower())
    compression = _COMPRESSIONS.get(extension, "")
    if compression:
        extension = posixpath.splitext(stem)[1]
    named = (name for name, kind in FORMATS.items() if extension in kind.endings)
    return next(named, ""), compression
