"""Reads the bytes of a segment, whose ends are moved to the next boundary if the file can be cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from pipeline import files
from pipeline.errors import InputError
from pipeline.text.reading.compression import read_decompressed
from pipeline.text.reading.content import check_is_text, read_head
from pipeline.text.reading.segment import Segment

CHUNK_BYTES = 1 << 22
# Finds the boundary that follows a cut. It depends only on the file's bytes after the cut, so the two segments that
# meet there agree on it without communicating. Takes a function that reads on from the cut, and the number of bytes
# left in the file; returns by how many bytes to move the cut, and whether it is then between documents.
FindBoundary = Callable[[Callable[[int], bytes], int], tuple[int, bool]]


def read_bytes(segment: Segment, find_boundary: FindBoundary, counts: Counter[str]) -> Iterator[bytes]:
    """Reads a segment of a file of text, decompressed.

    Args:
        segment: the part of a file to read; not of Parquet.
        find_boundary: finds where the file may be cut.
        counts: gets "documents_cut" if the segment ends within a document.

    Yields:
        Its bytes, between the boundaries at or after its two ends, in chunks of varying size.

    Raises:
        InputError: if the file cannot be read, is shorter than planned, is damaged, or does not hold text.
    """
    chunks = (
        read_decompressed(segment.path, segment.compression)
        if segment.compression
        else _read_range(segment, find_boundary, counts)
    )
    if segment.start == 0:
        # Read separately, so that the check does not depend on where the file is cut.
        check_is_text(segment.path, read_head(segment.path, segment.compression), segment.format)
    yield from chunks


def lines_before(segment: Segment) -> int:
    """Counts the line ends in a file before a segment.

    Raises:
        InputError: if the file cannot be read.
    """
    lines, left = 0, segment.start
    with files.open_read(segment.path) as stream:
        while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
            lines += chunk.count(b"\n")
            left -= len(chunk)
    return lines


def _read_range(segment: Segment, find_boundary: FindBoundary, counts: Counter[str]) -> Iterator[bytes]:
    size = segment.file_bytes  # Ignores what was appended to the file after planning.
    with files.open_read(segment.path) as stream:

        def read(wanted: int) -> bytes:
            data = stream.read(wanted)
            if len(data) < wanted:
                raise InputError(
                    f"{segment.path} became shorter: it had {size:,} bytes when the job was planned",
                    received=f"{stream.tell():,} bytes",
                    do="Run the job again, and do not change its inputs while it runs",
                )
            return data

        def moved(cut: int) -> tuple[int, bool]:
            if cut in (0, size):
                return cut, True
            stream.seek(cut)
            distance, between_documents = find_boundary(read, size - cut)
            return cut + distance, between_documents or cut + distance == size

        first, _ = moved(segment.start)
        last, between_documents = moved(segment.end)
        if first < last and not between_documents:
            counts["documents_cut"] += 1
        stream.seek(first)
        while first < last:
            chunk = read(min(CHUNK_BYTES, last - first))
            first += len(chunk)
            yield chunk
