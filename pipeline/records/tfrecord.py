"""TFRecord framing: the bytes around each record of a file.

A record is its length (uint64, little-endian), the length's masked CRC-32C, its data, and the data's masked CRC-32C:
tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import IO, cast

import google_crc32c

from pipeline import files
from pipeline.errors import CorpusError

HEADER_BYTES = 12  # The length and its checksum.
FOOTER_BYTES = 4  # The data's checksum.
_BUFFER_BYTES = 1 << 20


def damaged(path: str, number: int, reason: str) -> CorpusError:
    """Makes the error for a damaged record.

    Args:
        path: the file.
        number: the record's number, from 0.
        reason: what is wrong with it.
    """
    return CorpusError(
        f"{path} must be a TFRecord file",
        received=f"a damaged record {number:,}: {reason}",
        do="Compare it with its SHA-256 in the manifest, and copy it or make the corpus again; the names of GZIP"
        " files end in .gz",
    )


def masked_crc(data: bytes) -> bytes:
    """Computes the CRC-32C of `data` with TFRecord's masking, four bytes, little-endian."""
    crc: int = google_crc32c.value(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


@contextlib.contextmanager
def open_records(path: str) -> Iterator[IO[bytes]]:
    """Opens a TFRecord file for `read_records`; a name that ends in .gz means GZIP.

    Raises:
        InputError: if it cannot be opened.
    """
    with files.open_read(path) as stream:
        yield uncompressed(stream, path)


def uncompressed(stream: IO[bytes], path: str) -> IO[bytes]:
    """Decompresses a stream of the file `path` if its name ends in .gz."""
    plain = gzip.GzipFile(fileobj=stream) if path.endswith(".gz") else stream
    return cast(IO[bytes], io.BufferedReader(cast(io.RawIOBase, plain), _BUFFER_BYTES))


def read_records(stream: IO[bytes], report: Callable[[int, str], None]) -> Iterator[tuple[int, bytes]]:
    """Reads the records of a file and checks their framing.

    Args:
        stream: the file, uncompressed.
        report: called for every damaged record with its number, from 0, and what is wrong. If it returns, reading
            continues with the next record, if that can be found.

    Yields:
        The number and the data of every undamaged record.
    """
    number = 0
    while True:
        try:
            header = stream.read(HEADER_BYTES)
            if not header:
                return
            if len(header) < HEADER_BYTES or masked_crc(header[:8]) != header[8:]:
                what = "its header is cut short" if len(header) < HEADER_BYTES else "the checksum of its length differs"
                report(number, f"{what}; what follows cannot be read")
                return
            length = int.from_bytes(header[:8], "little")
            data = stream.read(length + FOOTER_BYTES)
        except (OverflowError, MemoryError):  # The checksum of the length is right: it was written so.
            report(number, f"its length is {length:,} bytes; what follows cannot be read")
            return
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            report(number, f"its GZIP stream is damaged ({error}); what follows cannot be read")
            return
        if len(data) < length + FOOTER_BYTES:
            report(number, "it is cut short")
            return
        if masked_crc(data[:-FOOTER_BYTES]) != data[-FOOTER_BYTES:]:
            report(number, "the checksum of its data differs")
        else:
            yield number, data[:-FOOTER_BYTES]
        number += 1
