"""Decompresses streams chunk by chunk, and detects damaged and truncated files in every format."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from pipeline import files
from pipeline.errors import InputError

_CHUNK_BYTES = 1 << 18  # Of compressed data: bounds the output of one step.


def read_decompressed(path: str, compression: str) -> Iterator[bytes]:
    """Reads a compressed file from beginning to end; it may consist of several concatenated members.

    Args:
        path: the file.
        compression: "gzip", "bzip2", "zstd" or "xz".

    Yields:
        Its decompressed bytes, in chunks of varying size.

    Raises:
        InputError: if it cannot be read, is damaged, or is truncated.
    """
    with files.open_read(path) as stream:
        try:
            yield from _members(stream, _decompressor(compression))
        except _errors(compression) as error:
            raise InputError(
                f"{path} is not a complete {compression} file, as its name suggests",
                received=str(error) or type(error).__name__,
                do="Download or write it again; the results of other files are kept",
            ) from error


def _members(stream: IO[bytes], make: Callable[[], Any]) -> Iterator[bytes]:
    data = stream.read(_CHUNK_BYTES)
    while True:
        member = make()
        while not member.eof:
            if not data:
                raise EOFError("unexpected end of file")
            yield member.decompress(data)
            data = b"" if member.eof else stream.read(_CHUNK_BYTES)
        # Allows zero padding, as written by tools for tapes and block devices.
        data = member.unused_data.lstrip(b"\0") or stream.read(_CHUNK_BYTES).lstrip(b"\0")
        if not data:
            return


def _decompressor(compression: str) -> Callable[[], Any]:
    if compression == "zstd":
        import zstandard

        # Frames of `zstd --long` need up to 2 GiB of window; the default limit is 128 MiB.
        return lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
    return {
        "gzip": lambda: zlib.decompressobj(wbits=31),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lzma.LZMADecompressor,
    }[compression]


def _errors(compression: str) -> tuple[type[Exception], ...]:
    """Returns the exceptions that a decompressor raises for damaged data."""
    errors = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
    if compression != "zstd":
        return errors
    import zstandard

    return (*errors, zstandard.ZstdError)
