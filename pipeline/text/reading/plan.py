"""The plan: which parts of which files make up each block.

It depends only on the files' sizes (for Parquet and others, those of their pieces) and `block_bytes`, so it is the same
on every runner. Cuts within a file that has no pieces are nominal here; the readers move each to the next boundary
between documents.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.text.reading.formats import FORMATS
from pipeline.text.reading.segment import Segment as Segment

_LEAST_BLOCK, _USUAL_BLOCK = 4 << 20, 32 << 20
# With this many blocks, and a few files for each, an object store still lists the files in a minute, and the manifest
# is a few tens of MB.
_MOST_BLOCKS = 50_000
# Approximate expansion of compressed text; it only decides which compressed files share a block.
_EXPANSION = 4


class InputFile(NamedTuple):
    """A file to read.

    Attributes:
        path: its path.
        bytes: its size.
        format: a key of `pipeline.text.reading.formats.FORMATS`.
        compression: "gzip", "bzip2", "zstd", "xz", or "" for none.
        pieces: for a format with pieces, the size of each; empty if the file is compressed.
        modified: its modification time as reported by the file system, and its checksum if there is one; does not
            affect the plan.
    """

    path: str
    bytes: int
    format: str = "lines"
    compression: str = ""
    pieces: tuple[int, ...] = ()
    modified: str = ""

    @property
    def text_bytes(self) -> int:
        """Bytes of text, as far as known without reading the file."""
        if self.compression:
            return self.bytes * _EXPANSION
        return self.bytes if FORMATS[self.format].pieces is None else sum(self.pieces)


@dataclass(frozen=True, slots=True)
class Block:
    """The unit of work: segments, and the block's index in the plan."""

    index: int
    segments: tuple[Segment, ...]

    @property
    def bytes(self) -> int:
        """Bytes of text, as far as known without reading the files."""
        return sum(segment.text_bytes for segment in self.segments)


def default_block_bytes(total_bytes: int) -> int:
    """Returns the block size for an input of `total_bytes`: 4 to 32 MiB, small enough to keep all cores busy.

    From 1.7 TB on, blocks are larger, so that there are at most 50,000.
    """
    return max(min(max(total_bytes // 64, _LEAST_BLOCK), _USUAL_BLOCK), -(-total_bytes // _MOST_BLOCKS))


def plan_blocks(inputs: Iterable[InputFile], block_bytes: int) -> list[Block]:
    """Cuts the inputs into blocks: a large file into several, many small files into one.

    Args:
        inputs: the files, in reading order.
        block_bytes: maximum size of a block, in bytes of text, exceeded only by data that cannot be cut: a compressed
            file, or a piece such as a row group of Parquet.
    """
    blocks: list[Block] = []
    shared: list[Segment] = []
    shared_bytes = 0
    for file in inputs:
        segments = list(_segments(file, block_bytes)) if file.text_bytes else []
        for segment in segments:
            # A file that is cut does not share its blocks with other files.
            if shared and (len(segments) > 1 or shared_bytes + segment.text_bytes > block_bytes):
                blocks.append(Block(len(blocks), tuple(shared)))
                shared, shared_bytes = [], 0
            shared.append(segment)
            shared_bytes += segment.text_bytes
        if len(segments) > 1:
            shared_bytes = block_bytes
    if shared:
        blocks.append(Block(len(blocks), tuple(shared)))
    return blocks


def _segments(file: InputFile, block_bytes: int) -> Iterator[Segment]:
    """Cuts a file into segments of at most `block_bytes`, if possible."""
    if file.compression:
        cuts, sizes = [0, file.bytes], [file.text_bytes]
    elif FORMATS[file.format].pieces is not None:
        cuts = _pack(file.pieces, block_bytes)
        ends = [0, *itertools.accumulate(file.pieces)]
        sizes = [ends[end] - ends[start] for start, end in itertools.pairwise(cuts)]
        if not FORMATS[file.format].numbered:
            cuts = [ends[cut] for cut in cuts]
    else:
        pieces = -(-file.bytes // block_bytes)
        cuts = [file.bytes * i // pieces for i in range(pieces + 1)]
        sizes = [end - start for start, end in itertools.pairwise(cuts)]
    for (start, end), size in zip(itertools.pairwise(cuts), sizes, strict=True):
        yield Segment(file.path, start, end, file.bytes, size, file.format, file.compression, file.modified)


def _pack(sizes: Iterable[int], most: int) -> list[int]:
    """Cuts a sequence of sizes into runs of at most `most` each, or of one size; returns 0 and the runs' ends."""
    cuts, total = [0], 0
    for index, size in enumerate(sizes):
        if total and total + size > most:
            cuts.append(index)
            total = 0
        total += size
    return [*cuts, index + 1]
