"""The plan: which parts of which files make which block.

It follows from the files' sizes (for Parquet, those of the row groups) and `block_bytes` alone, so it is the same on
every runner. Cuts inside a file are nominal here; the readers move each to the next boundary between documents.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.text.reading.formats import FORMATS
from pipeline.text.reading.segment import Segment as Segment

_LEAST_BLOCK, _USUAL_BLOCK = 4 << 20, 32 << 20
# So many files, a few for each block, an object store still lists in a minute; a manifest still is a few tens of MB.
_MOST_BLOCKS = 50_000
# What compressed text grows to, about. It decides which compressed files share a block, no more.
_EXPANSION = 4


class InputFile(NamedTuple):
    """A file to read.

    Attributes:
        path: where it is.
        bytes: its size.
        format: a key of `pipeline.text.reading.formats.FORMATS`.
        compression: "gzip", "bzip2", "zstd", "xz", or "" for none.
        row_groups: of a format that comes in pieces, the bytes of text in each: of Parquet, in each row group.
        modified: when it was last written, as its file system tells it, and a checksum where it has one; no part of
            the plan.
    """

    path: str
    bytes: int
    format: str = "lines"
    compression: str = ""
    row_groups: tuple[int, ...] = ()
    modified: str = ""

    @property
    def text_bytes(self) -> int:
        """Bytes of text, as far as they are known without reading it."""
        if FORMATS[self.format].pieces is not None:
            return sum(self.row_groups)
        return self.bytes * _EXPANSION if self.compression else self.bytes


@dataclass(frozen=True, slots=True)
class Block:
    """The unit of work: a few segments, and the block's place in the plan."""

    index: int
    segments: tuple[Segment, ...]

    @property
    def bytes(self) -> int:
        """Bytes of text, as far as they are known without reading it."""
        return sum(segment.text_bytes for segment in self.segments)


def default_block_bytes(total_bytes: int) -> int:
    """Block size for an input of `total_bytes`: 4 to 32 MiB, small enough for work on all cores of a machine.

    From 1.7 TB on it is larger, so that there are no more than 50,000 blocks.
    """
    return max(min(max(total_bytes // 64, _LEAST_BLOCK), _USUAL_BLOCK), -(-total_bytes // _MOST_BLOCKS))


def plan_blocks(inputs: Iterable[InputFile], block_bytes: int) -> list[Block]:
    """Cuts the inputs into blocks: a large file into many, many small files into one.

    Args:
        inputs: the files, in the order in which they are to be read.
        block_bytes: size of a block, in bytes of text; nearly reached by most blocks, passed only by what cannot be
            cut: a compressed file, and a row group of Parquet.
    """
    blocks: list[Block] = []
    shared: list[Segment] = []
    shared_bytes = 0
    for file in inputs:
        segments = list(_segments(file, block_bytes)) if file.text_bytes else []
        for segment in segments:
            # A file that is cut shares its blocks with no other.
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
    """Cuts a file into segments of at most `block_bytes`, where that can be."""
    if FORMATS[file.format].pieces is not None:
        cuts = _pack(file.row_groups, block_bytes)
        sizes = [sum(file.row_groups[start:end]) for start, end in itertools.pairwise(cuts)]
    else:
        pieces = 1 if file.compression else -(-file.bytes // block_bytes)
        cuts = [file.bytes * i // pieces for i in range(pieces + 1)]
        sizes = [file.text_bytes] if file.compression else [end - start for start, end in itertools.pairwise(cuts)]
    for (start, end), size in zip(itertools.pairwise(cuts), sizes, strict=True):
        yield Segment(file.path, start, end, file.bytes, size, file.format, file.compression, file.modified)


def _pack(sizes: Iterable[int], most: int) -> list[int]:
    """Cuts a row of sizes into runs of at most `most` each, or of one; returns the runs' ends, 0 first."""
    cuts, total = [0], 0
    for index, size in enumerate(sizes):
        if total and total + size > most:
            cuts.append(index)
            total = 0
        total += size
    return [*cuts, index + 1]
