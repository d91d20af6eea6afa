"""Decompressing a stream piece by piece, so that a damaged or truncated file is noticed in any format."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from pipeline import files
from pipeline.errors import InputError

_CHUNK_BYTES = 1 << 18  # Of compressed data: bounds what one step may give.


def read_decompressed(path: str, compression: str) -> Iterator[bytes]:
    """Reads a compressed file from end to end; one of several members, concatenated, is one file.

    Args:
        path: the file.
        compression: "gzip", "bzip2", "zstd" or "xz".

    Yields:
        What it holds, in pieces of no fixed size.

    Raises:
        InputError: if it cannot be read, is damaged, or ends before its end.
    """
    with files.open_read(path) as stream:
        try:
            yield from _members(stream, _decompressor(compression))
        except _errors(compression) as error:
            raise InputError(
                f"{path} must be a whole file compressed with {compression}, as its name says",
                received=str(error) or type(error).__name__,
                do="Fetch or write it again; what other files gave is kept",
            ) from error


def _members(stream: IO[bytes], make: Callable[[], Any]) -> Iterator[bytes]:
    data = stream.read(_CHUNK_BYTES)
    while True:
        member = make()
        while not member.eof:
            if not data:
                raise EOFError("it ends too early")
            yield member.decompress(data)
            data = b"" if member.eof else stream.read(_CHUNK_BYTES)
        # Padding with zeros is allowed, as tools that write to tapes and blocks do.
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
    """What a decompressor raises for damaged data."""
    errors = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
    if compression != "zstd":
        return errors
    import zstandard

    return (*errors, zstandard.ZstdError)
