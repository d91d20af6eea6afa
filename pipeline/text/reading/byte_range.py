"""The bytes of a segment: of a file that can be cut, between the boundaries nearest to its ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from pipeline import files
from pipeline.errors import InputError
from pipeline.text.reading.compression import read_decompressed
from pipeline.text.reading.content import check_is_text, read_head
from pipeline.text.reading.segment import Segment

CHUNK_BYTES = 1 << 22
# Moves a cut to the next boundary, as a function of the file's bytes from there on alone: so the two segments that meet
# at a cut agree on it without a word. Gets what reads on from the cut, and how many bytes the file goes on for; returns
# by how many bytes to move, and whether the cut is then between documents.
FindBoundary = Callable[[Callable[[int], bytes], int], tuple[int, bool]]


def read_bytes(segment: Segment, find_boundary: FindBoundary, counts: Counter[str]) -> Iterator[bytes]:
    """Reads a segment of a file of text, decompressed.

    Args:
        segment: which part of which file; not of Parquet.
        find_boundary: finds where the file may be cut.
        counts: gets "documents_cut" if the segment ends within a document.

    Yields:
        Its bytes, in pieces of no fixed size: between the boundaries at or behind its ends.

    Raises:
        InputError: if the file cannot be read, is shorter than planned, is damaged, or holds no text.
    """
    chunks = (
        read_decompressed(segment.path, segment.compression)
        if segment.compression
        else _read_range(segment, find_boundary, counts)
    )
    if segment.start == 0:
        # Read apart, so that it does not depend on where the file is cut.
        check_is_text(segment.path, read_head(segment.path, segment.compression), segment.format)
    yield from chunks


def _read_range(segment: Segment, find_boundary: FindBoundary, counts: Counter[str]) -> Iterator[bytes]:
    size = segment.file_bytes  # What was appended to the file since it was planned does not count.
    with files.open_read(segment.path) as stream:

        def read(wanted: int) -> bytes:
            data = stream.read(wanted)
            if len(data) < wanted:
                raise InputError(
                    f"{segment.path} must hold {size:,} bytes, as it did when the job was planned",
                    received=f"{stream.tell():,} bytes",
                    do="Leave the inputs alone while the job runs, then run it again",
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
