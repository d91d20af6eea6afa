"""The checks of a validation, and the problems that it finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# The checks, in the order of the report, and what each verifies.
CHECKS = {
    "files": "the shards and the vocabulary of the manifest exist, and no others; sizes and SHA-256",
    "index": "the index has the length and the checksum of every chunk of the shards",
    "framing": "every record is complete: lengths and checksums",
    "format": "every record has the features of its shard, canonically encoded, with values in range",
    "structure": "[CLS], [SEP], segments, padding, length",
    "masks": "positions, weights, number of predictions, replacements",
    "totals": "the counts agree with the manifest",
    "rates": "replacements and positions of predictions, by statistical test",
    "pairs": "balance of the labels, by statistical test",
    "duplicates": "no example occurs more often than it should",
    "split": "no document is on both sides of the split",
}
_RECORDS_SHOWN = 5


@dataclass(frozen=True)
class Problem:
    """A problem of a corpus.

    Attributes:
        check: a key of `CHECKS`.
        message: what is wrong.
        shard: the name of the shard; "" if it does not concern one shard.
        records: numbers of some of the wrong records, from 0.
        count: the number of wrong records; 0 if it does not concern records.
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
    """Collects the problems of the records of one shard, and groups equal ones.

    Attributes:
        shard: the name of the shard.
    """

    shard: str
    _found: dict[tuple[str, str], tuple[list[int], int]] = field(default_factory=dict)

    def add(self, check: str, message: str, records: Iterable[int]) -> None:
        """Adds the numbers of records that fail a check; no records are no problem."""
        numbers = [int(number) for number in records]
        if numbers:
            shown, count = self._found.get((check, message), ([], 0))
            shown += numbers[: _RECORDS_SHOWN - len(shown)]
            self._found[check, message] = shown, count + len(numbers)

    def problems(self) -> list[Problem]:
        """Returns the problems."""
        return [
            Problem(check, message, self.shard, tuple(shown), count)
            for (check, message), (shown, count) in self._found.items()
        ]
