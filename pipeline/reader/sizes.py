"""Batch sizes that change with the steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class BatchSizes:
    """How many examples the batch of each step has: `sizes[i]` from step `first_steps[i]` on.

    Attributes:
        first_steps: from 0 on, each more than the one before.
        sizes: as many, each at least 1.
    """

    first_steps: tuple[int, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        rising = all(before < after for before, after in pairwise(self.first_steps))
        if len(self.first_steps) != len(self.sizes) or self.first_steps[:1] != (0,) or not rising:
            raise ValueError(f"Sizes need rising first steps from 0, received {self.first_steps} for {self.sizes}")

    @property
    def largest(self) -> int:
        """The most examples of a batch."""
        return max(self.sizes)

    def number(self, step: int) -> int:
        """Returns which of the sizes a step has, counted from 0."""
        return bisect_right(self.first_steps, step) - 1

    def at(self, step: int) -> int:
        """Returns the examples of a step."""
        return self.sizes[self.number(step)]

    def examples_before(self, step: int) -> int:
        """Returns the examples of all steps before a step."""
        return sum((min(last, step) - first) * size for first, last, size in self._spans() if first < step)

    def steps_within(self, examples: int) -> int:
        """Returns how many steps, from the first on, have at most `examples` examples together."""
        steps = 0
        for first, last, size in self._spans():
            more = min(last - first, examples // size)
            steps, examples = steps + more, examples - more * size
            if first + more < last:
                break
        return steps

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """First step, the step behind the last one, and size."""
        yield from zip(self.first_steps, (*self.first_steps[1:], 2**62), self.sizes, strict=True)
