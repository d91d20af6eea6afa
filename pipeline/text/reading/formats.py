"""The formats of raw text, and what a file's name says about its format."""

from __future__ import annotations

import posixpath

TEXT_FORMATS = {
    "bert": "a sentence a line, a blank line between documents (google-research/bert)",
    "lines": "a paragraph a line, a blank line between documents",
    "wrapped": "prose in lines of limited width, a blank line between paragraphs, three between documents or chapters",
}
FORMATS = TEXT_FORMATS | {
    "jsonl": "a JSON object a line, with the text in text_field",
    "parquet": "a document a row, in the column text_field",
}
_BY_EXTENSION = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd", ".xz": "xz"}


def format_and_compression(path: str) -> tuple[str, str]:
    """Tells a file's format and compression by its name.

    Returns:
        A key of `FORMATS`, or "" for text, whose format the name does not tell; and "gzip", "bzip2", "zstd", "xz", or
        "" for none. Parquet compresses within.
    """
    stem, extension = posixpath.splitext(path.lower())
    compression = _COMPRESSIONS.get(extension, "")
    if compression:
        extension = posixpath.splitext(stem)[1]
    return _BY_EXTENSION.get(extension, ""), compression
