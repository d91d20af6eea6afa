"""Checks from a file's beginning that it is text in UTF-8, and refuses everything else."""

from __future__ import annotations

import json
import re

from pipeline import files
from pipeline.errors import InputError
from pipeline.records.tfrecord import HEADER_BYTES, masked_crc
from pipeline.text.reading.compression import read_decompressed

HEAD_BYTES = 1 << 16
_LEAST_JUDGED = 512  # A shorter beginning is not judged: a single stray byte would be a large share.
# Maximum shares of a beginning. Western European text in another encoding has a few per cent of invalid UTF-8, which
# becomes U+FFFD and is counted; other text in another encoding, and data that is not text, has a third or more.
_MOST_NULS, _MOST_BAD = 0.01, 0.2

_UNPACK, _CONVERT = "unpack it first", "convert it to UTF-8 first (iconv -f {} -t UTF-8)"
_MAGIC = {
    b"\x1f\x8b": "a gzip file: its name must end in .gz",
    b"BZh": "a bzip2 file: its name must end in .bz2",
    b"\x28\xb5\x2f\xfd": "a Zstandard file: its name must end in .zst",
    b"\xfd7zXZ\x00": "an xz file: its name must end in .xz",
    b"PAR1": "a Parquet file: its name must end in .parquet, or use --format parquet",
    b"ARROW1\x00\x00": "an Arrow file: its name must end in .arrow or .feather, or use --format arrow",
    b"WARC/1.": "a web archive: its name must end in .warc or .wet, or use --format warc",
    b"Obj\x01": "an Avro file: write it as JSON Lines or Parquet first",
    b"SQLite format 3\x00": "a SQLite database: write its text as JSON Lines or Parquet first",
    b"\x89HDF": "an HDF5 file: write its text as JSON Lines or Parquet first",
    b"\x93NUMPY": "a NumPy array: write its text as JSON Lines or Parquet first",
    b"PK\x03\x04": f"a zip archive, as .docx, .xlsx, .epub and .npz files are: {_UNPACK}, or extract its text",
    b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive: {_UNPACK}",
    b"Rar!\x1a\x07": f"a rar archive: {_UNPACK}",
    b"\x04\x22\x4d\x18": f"an lz4 file: {_UNPACK}, or compress it with gzip, bzip2, zstd or xz",
    b"\xff\x06\x00\x00sNaPpY": f"a snappy file: {_UNPACK}, or compress it with gzip, bzip2, zstd or xz",
    b"\x5d\x00\x00": f"an lzma file: {_UNPACK}, or compress it with xz",
    b"\x1f\x9d": f"a compress file (.Z): {_UNPACK}, or compress it with gzip",
    b"\x80\x04\x95": "a Python pickle: write its text as JSON Lines or Parquet first",
    b"\x80\x05\x95": "a Python pickle: write its text as JSON Lines or Parquet first",
    b"%PDF-": "a PDF: extract its text first",
    b"%!PS": "PostScript: extract its text first",
    b"{\\rtf": "RTF: extract its text first",
    b"\xd0\xcf\x11\xe0": "a Microsoft Office document: extract its text first",
    b"\x89PNG": "an image (PNG)",
    b"\xff\xd8\xff": "an image (JPEG)",
    b"GIF87a": "an image (GIF)",
    b"GIF89a": "an image (GIF)",
    b"\x7fELF": "a program",
    b"\xff\xfe\x00\x00": f"UTF-32: {_CONVERT.format('UTF-32')}",
    b"\x00\x00\xfe\xff": f"UTF-32: {_CONVERT.format('UTF-32')}",
    b"\xff\xfe": f"UTF-16: {_CONVERT.format('UTF-16')}",
    b"\xfe\xff": f"UTF-16: {_CONVERT.format('UTF-16')}",
}
_TAR_AT, _TAR = 257, b"ustar"
# The beginning of a message, and of the table in it, as Arrow's libraries write them.
_ARROW_STREAM, _ARROW_TABLE_AT, _ARROW_TABLE = b"\xff\xff\xff\xff", 8, b"\x10\0\0\0"
_WIDE_ENCODINGS = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")


def read_head(path: str, compression: str = "") -> bytes:
    """Reads the first 64 KiB of a file, decompressed, or the whole file if it is shorter.

    Raises:
        InputError: if the file cannot be read, or its beginning is damaged.
    """
    if not compression:
        with files.open_read(path) as stream:
            return stream.read(HEAD_BYTES)
    head = b""
    for chunk in read_decompressed(path, compression):  # Any chunk may be empty, even the first.
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    return head[:HEAD_BYTES]


def check_is_text(path: str, head: bytes, text_format: str = "") -> None:
    """Refuses a file whose beginning is not text in UTF-8, or not JSON Lines where they are expected.

    Args:
        path: the file, for messages.
        head: the result of `read_head`.
        text_format: the format in which to read it, a key of `pipeline.text.reading.formats.FORMATS`.

    Raises:
        InputError: with the kind of content found, and what to do.
    """
    if what := _known_kind(head) or _unlike_text(head):
        raise InputError(
            f"{path} is not text in UTF-8",
            received=what,
            do="If it is not an input, exclude it from --input, which accepts globs such as 'texts/*.txt'",
        )
    if text_format == "jsonl":
        _check_is_json_lines(path, head)


def _known_kind(head: bytes) -> str:
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            return what
    if head[_TAR_AT:].startswith(_TAR):
        return f"a tar archive: {_UNPACK}"
    if head.startswith(_ARROW_STREAM) and head[_ARROW_TABLE_AT:].startswith(_ARROW_TABLE):
        return "an Arrow file: its name must end in .arrow, or use --format arrow"
    if len(head) > HEADER_BYTES and masked_crc(head[:8]) == head[8:HEADER_BYTES]:
        return "TFRecords"
    return ""


def _unlike_text(head: bytes) -> str:
    if len(head) < _LEAST_JUDGED:
        return ""
    nuls = head.count(0) / len(head)
    # Without the last bytes, where a character may be cut off.
    text = head[:-3].decode("utf-8", "surrogateescape")
    bad = sum("\udc80" <= char <= "\udcff" for char in text) / len(head)
    if nuls <= _MOST_NULS and bad <= _MOST_BAD:
        return ""
    if nuls > _MOST_NULS:
        # Bytes of one encoding may also decode as text in another, but rarely to spaces and line ends.
        best = max(_WIDE_ENCODINGS, key=lambda encoding: _white_space(head, encoding))
        if _white_space(head, best):
            return f"{best.upper()} without a byte order mark: {_CONVERT.format(best.upper())}"
        return f"binary data, with {nuls:.0%} NUL bytes in its head"
    return f"another encoding, or binary data: {bad:.0%} of its head is not UTF-8; {_CONVERT.format('ENCODING')}"


def _check_is_json_lines(path: str, head: bytes) -> None:
    # At line feeds and carriage returns alone: a string may hold other characters that end lines, such as U+2028.
    lines = re.split(r"[\r\n]+", head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n"))
    first = lines[0].strip()
    try:
        parsed = json.loads(first)
    except (ValueError, RecursionError):
        parsed = None
    if first == "[" or re.match(r"\[\s*\{", first):
        what, program = "one JSON array", "jq -c '.[]'"
    elif first == "{" or (parsed is None and re.match(r'\{\s*"', first) and lines[1:2] and lines[1].startswith(" ")):
        what, program = "JSON objects that span several lines (pretty-printed)", "jq -c ."
    else:
        return
    raise InputError(
        f"{path} is not JSON Lines, one object per line",
        received=what,
        do=f"Write each object on its own line, for example with {program} {path} > texts.jsonl",
    )


def _white_space(head: bytes, encoding: str) -> int:
    """Counts the spaces and line ends in a beginning decoded with `encoding`; 0 if the result is not text."""
    try:
        text = head[: (len(head) - 2) // 4 * 4].decode(encoding)
    except UnicodeDecodeError:
        return 0
    readable = sum(char.isprintable() or char in "\t\n\r\f\ufeff" for char in text)
    return text.count(" ") + text.count("\n") if readable > 0.98 * len(text) else 0
