"""The order in which a corpus is read: where every position of it is stored, by arithmetic alone.

An epoch takes the chunks in a pseudo-random order and deals them to 64 *lanes*. Position q of the epoch belongs to lane
q mod 64. A lane is read in *windows* of some chunks, whose records are in a pseudo-random order. So a batch takes about
the same number of examples from every lane, and an input pipeline that is given the examples of some lanes reads these
lanes' chunks alone. The chunks that are left when no lane can have another one are the last window of the epoch, whose
records are dealt one by one.

Nothing is kept between two positions: the order is the same with any number of input pipelines, and reading can begin
anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

LANES = 64
# Shares are integers of about 20 bits: with 64 bits, their products with positions are exact up to 2**42.
_MOST_SHARE = 1 << 20


class Located(NamedTuple):
    """Where positions of an order are stored.

    Attributes:
        epochs: int64 `[n]`, how many times each example came before.
        windows: int64 `[n]`, the number of the window, counted over all epochs.
        chunks: int64 `[n]`, the number of the chunk; the one after the last full one holds what is left.
        records: int64 `[n]`, the record's number within its chunk.
    """

    epochs: np.ndarray
    windows: np.ndarray
    chunks: np.ndarray
    records: np.ndarray


@dataclass(frozen=True)
class Order:
    """An order of the examples of one shape, epoch after epoch without end; each comes once in an epoch.

    Attributes:
        examples: of an epoch, at least 1.
        per_chunk: records of a chunk.
        width: chunks of a lane that are shuffled together.
        seed: an integer in [0, 2**64).
    """

    examples: int
    per_chunk: int
    width: int
    seed: int

    @property
    def window_size(self) -> int:
        """Examples of a full window, of all lanes."""
        return LANES * self.width * self.per_chunk

    def locate(self, positions: np.ndarray) -> Located:
        """Finds which records stand at positions, int64 `[n]`, at least 0."""
        from pipeline.reader.kernels import locate

        found = Located(*np.empty((4, len(positions)), np.int64))
        numbers = (self.examples, self.per_chunk, LANES, self.width, np.uint64(self.seed))
        locate(np.ascontiguousarray(positions, np.int64), *numbers, *found)
        return found


def width_of(window: int, per_chunk: int) -> int:
    """Returns the chunks of a lane that make a window of about `window` examples, at least 1."""
    return max(1, round(window / (LANES * per_chunk)))


class Turns:
    """Whose turn it is at each position, so that everyone's share of any stretch of positions is exact.

    The share of the first of k is a Beatty sequence, those of the others divide what it leaves in the same way: in any
    stretch of n positions, number i has n * share_i / total, give or take 2.

    Args:
        shares: positive numbers; they count relative to one another.
    """

    def __init__(self, shares: Sequence[float | Fraction]) -> None:
        self.shares = _integers(shares)

    def at(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns whose turn it is, int64 `[n]`, and how many turns they had before, int64 `[n]`."""
        owner = np.full(len(positions), len(self.shares) - 1, np.int64)
        number = np.array(positions, np.int64)
        open_ = np.arange(len(positions))
        total = sum(self.shares)
        for candidate, share in enumerate(self.shares[:-1]):
            left = number[open_]
            before, after = ((left + more) * share + total // 2 for more in (0, 1))
            before, after = before // total, after // total
            taken = after > before
            owner[open_[taken]] = candidate
            number[open_] = np.where(taken, before, left - before)
            open_ = open_[~taken]
            total -= share
        return owner, number

    def before(self, position: int) -> list[int]:
        """Returns how many turns each had before a position."""
        counts, total = [], sum(self.shares)
        for share in self.shares[:-1]:
            counts.append((position * share + total // 2) // total)
            position -= counts[-1]
            total -= share
        return [*counts, position]


def _integers(shares: Sequence[float | Fraction]) -> list[int]:
    fractions = [Fraction(share).limit_denominator(_MOST_SHARE) for share in shares]
    denominator = math.lcm(*(fraction.denominator for fraction in fractions))
    integers = [int(fraction * denominator) for fraction in fractions]
    divisor = math.gcd(*integers)
    integers = [integer // divisor for integer in integers]
    most = max(integers)
    if most > _MOST_SHARE:
        integers = [max(1, round(integer * _MOST_SHARE / most)) for integer in integers]
    return integers
