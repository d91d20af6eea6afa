"""Draws a sample of an input: pieces of its files, spread over the whole input."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.seeding import generator
from pipeline.text.reading.formats import FORMATS
from pipeline.text.reading.plan import Block, Segment

# Pieces are larger than most documents, to whose ends theirs are moved, and there are enough to estimate a variance.
_PIECE_BYTES, _FEWEST_PIECES, _MOST_PIECES = 1 << 18, 4, 16
# In a smaller file, a cut may move to the end of the file, so that all of it or nothing would be read.
_LEAST_CUT = 1 << 21


@dataclass(frozen=True)
class Sample:
    """A sample of a plan.

    Attributes:
        blocks: the pieces, each as a separate block.
        draws: how often each was drawn.
        whole: whether they are the plan's own blocks, all of them.
    """

    blocks: tuple[Block, ...]
    draws: tuple[int, ...]
    whole: bool

    def total(self, values: Sequence[float], total_bytes: int) -> tuple[float, float]:
        """Estimates a total over the whole input from the values of the pieces.

        Uses the estimator of Hansen and Hurwitz (1943): for pieces drawn with probability proportional to size, the
        mean of value per size gives an unbiased estimate of the total.

        Args:
            values: the value of each of `blocks`.
            total_bytes: bytes of text of the whole input.

        Returns:
            The total, and its relative standard error.
        """
        if self.whole:
            return float(sum(values)), 0.0
        rates = np.repeat([value / block.bytes for value, block in zip(values, self.blocks, strict=True)], self.draws)
        mean = float(rates.mean())
        error = float(rates.std(ddof=1) / np.sqrt(len(rates)) / mean) if mean and len(rates) > 1 else 0.0
        return mean * total_bytes, error


def draw_sample(blocks: Sequence[Block], sample_bytes: int, seed: int) -> Sample:
    """Draws pieces of a plan: the input is divided into equal stretches, and a piece is read at a position in each.

    In files that can be cut, a piece is a range of bytes. In others it is the whole segment of the plan: a small file,
    a compressed one, row groups of Parquet.

    Args:
        blocks: the plan.
        sample_bytes: bytes of text to draw; a smaller input is taken completely.
        seed: the seed of the positions.
    """
    segments = [segment for block in blocks for segment in block.segments]
    ends = np.cumsum([segment.text_bytes for segment in segments])
    total = int(ends[-1])
    if total <= sample_bytes:
        return Sample(tuple(blocks), (1,) * len(blocks), whole=True)
    rng = generator(seed, "sample")
    pieces = min(max(sample_bytes // _PIECE_BYTES, _FEWEST_PIECES), _MOST_PIECES)
    drawn: dict[Segment, int] = {}
    for stretch in range(pieces):
        position = int((stretch + rng.random()) * total / pieces)
        index = int(np.searchsorted(ends, position, side="right"))
        piece = _piece(segments[index], position - int(ends[index]), max(1, sample_bytes // pieces))
        drawn[piece] = drawn.get(piece, 0) + 1
    blocks = tuple(Block(index, (piece,)) for index, piece in enumerate(drawn))
    return Sample(blocks, tuple(drawn.values()), whole=False)


def _piece(segment: Segment, from_end: int, size: int) -> Segment:
    """Cuts `size` bytes around a position, a negative offset from the segment's end; or returns the whole segment."""
    can_be_cut = FORMATS[segment.format].pieces is None and not segment.compression and segment.file_bytes >= _LEAST_CUT
    if not can_be_cut or segment.text_bytes <= 2 * size:
        return segment
    start = min(max(segment.end + from_end - size // 2, segment.start), segment.end - size)
    return dataclasses.replace(segment, start=start, end=start + size, text_bytes=size)


def joined(blocks: Sequence[Block], most_bytes: int) -> Block:
    """Joins pieces into one block: as many as fit in `most_bytes`, at least the first."""
    sizes = list(itertools.accumulate(block.bytes for block in blocks))
    number = max(1, sum(size <= most_bytes for size in sizes))
    return Block(0, tuple(segment for block in blocks[:number] for segment in block.segments))
