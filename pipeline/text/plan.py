"""The plan: which bytes of which files make which block.

It follows from the files' sizes and `block_bytes` alone, so it is the same on every runner. Cuts inside a file are
nominal here; `pipeline.text.readers` moves each to the next boundary between documents.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.files import FileInfo

_LEAST_BLOCK, _LARGEST_BLOCK = 4 << 20, 32 << 20


@dataclass(frozen=True)
class Segment:
    """A byte range of a file, `[start, end)`, before it is moved to boundaries, and the whole file's size."""

    path: str
    start: int
    end: int
    file_bytes: int


@dataclass(frozen=True)
class Block:
    """The unit of work: a few segments, and the block's place in the plan."""

    index: int
    segments: tuple[Segment, ...]

    @property
    def bytes(self) -> int:
        """Bytes of input."""
        return sum(segment.end - segment.start for segment in self.segments)


def default_block_bytes(total_bytes: int) -> int:
    """Block size for an input of `total_bytes`: 4 to 32 MiB, small enough for work on all cores of a machine."""
    return min(max(total_bytes // 64, _LEAST_BLOCK), _LARGEST_BLOCK)


def plan_blocks(inputs: Iterable[FileInfo], block_bytes: int) -> list[Block]:
    """Cuts the inputs into blocks: a large file into many, many small files into one.

    Args:
        inputs: the files, in the order in which they are to be read.
        block_bytes: size of a block, in bytes of input; nearly reached by most blocks, passed by none.
    """
    blocks: list[Block] = []
    small: list[Segment] = []
    small_bytes = 0

    def close() -> None:
        nonlocal small, small_bytes
        if small:
            blocks.append(Block(len(blocks), tuple(small)))
        small, small_bytes = [], 0

    for info in inputs:
        if info.bytes == 0:
            continue
        if small_bytes + info.bytes > block_bytes:
            close()
        if info.bytes > block_bytes:
            pieces = -(-info.bytes // block_bytes)
            cuts = [info.bytes * i // pieces for i in range(pieces + 1)]
            for start, end in itertools.pairwise(cuts):
                blocks.append(Block(len(blocks), (Segment(info.path, start, end, info.bytes),)))
        else:
            small.append(Segment(info.path, 0, info.bytes, info.bytes))
            small_bytes += info.bytes
    close()
    return blocks
