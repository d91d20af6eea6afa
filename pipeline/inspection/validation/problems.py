"""What a validation looks for, and what it found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# The checks, in the order in which they are reported, and what each says of a corpus that passes it.
CHECKS = {
    "files": "the shards and the vocabulary of the manifest are there, and no others; sizes and SHA-256",
    "framing": "every record is whole: lengths and checksums",
    "format": "every record encodes, as is the canonical way, an example of its shard's features with values in range",
    "structure": "[CLS], [SEP], segments, padding, length",
    "masks": "positions, weights, number of predictions, replacements",
    "totals": "what is counted is what the manifest says",
    "rates": "how predictions are replaced, and where they stand, by statistical test",
    "pairs": "balance of the labels, by statistical test",
    "duplicates": "no example is there more often than it was to be made",
    "split": "no document stands on both sides of the split",
}
_RECORDS_SHOWN = 5


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        check: a key of `CHECKS`.
        message: what is wrong.
        shard: the name of the shard; "" if it is not one's.
        records: numbers of some of its records, from 0.
        count: how many records are wrong; 0 if it is not the records'.
    """

    check: str
    message: str
    shard: str = ""
    records: tuple[int, ...] = ()
    count: int = 0

    def __str__(self) -> str:
        where = self.shard
        if self.records:
            more = ", ..." * (self.count > len(self.records))
            where += f", record{'s' * (self.count > 1)} {', '.join(map(str, self.records))}{more}"
            where += f" ({self.count:,} in all)" * bool(more)
        return f"{where}: {self.message}" if where else self.message


@dataclass
class RecordProblems:
    """Gathers what is wrong with the records of one shard, alike faults together.

    Attributes:
        shard: the name of the shard.
    """

    shard: str
    _found: dict[tuple[str, str], tuple[list[int], int]] = field(default_factory=dict)

    def add(self, check: str, message: str, records: Iterable[int]) -> None:
        """Adds the records, by number, that a check found wrong; none is no problem."""
        numbers = [int(number) for number in records]
        if numbers:
            shown, count = self._found.get((check, message), ([], 0))
            shown += numbers[: _RECORDS_SHOWN - len(shown)]
            self._found[check, message] = shown, count + len(numbers)

    def problems(self) -> list[Problem]:
        """The problems."""
        return [
            Problem(check, message, self.shard, tuple(shown), count)
            for (check, message), (shown, count) in self._found.items()
        ]
