"""Rows of a corpus: an instance each, or several whole instances packed behind one another.

Krell et al., 2021, "Efficient Sequence Packing without Cross-contamination" (arXiv 2107.02027), packs BERT's examples
likewise. An instance in a row is called a sequence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.instances.instances import Instances, concatenate

PACKINGS = {
    "none": "one example in each row",
    "best-fit": "several whole examples, one after another, in each row (best-fit decreasing)",
}
_TOKENS_A_SEGMENT = 8  # Sentences of prose have more: rows of single sentences are full before they hold as many.


def default_max_sequences(max_seq_length: int, *, pairs: bool) -> int:
    """Returns how many sequences a row may hold by default: one for every 8 of its tokens, or every 16 with pairs."""
    return -(-max_seq_length // (_TOKENS_A_SEGMENT * (2 if pairs else 1)))


@dataclass(frozen=True)
class Rows:
    """Instances in rows.

    Attributes:
        instances: the instances, row after row.
        splits: int64 `[rows + 1]`; row i holds the instances `splits[i]:splits[i + 1]`, at least one.
    """

    instances: Instances
    splits: np.ndarray

    @staticmethod
    def one_each(instances: Instances) -> Rows:
        """Returns rows of one instance each."""
        return Rows(instances, np.arange(len(instances) + 1))

    def __len__(self) -> int:
        return len(self.splits) - 1

    def slice(self, start: int, stop: int) -> Rows:
        """Returns the rows `start:stop`."""
        splits = self.splits[start : stop + 1]
        return Rows(self.instances.take(slice(splits[0], splits[-1])), splits - splits[0])


def pack(
    copies: Iterable[Instances],
    *,
    special_tokens: int,
    row_length: int,
    max_sequences: int,
    rng: np.random.Generator,
) -> Rows:
    """Packs instances into rows, each copy on its own, so that no row holds an example twice; and shuffles the rows.

    Args:
        copies: the copies of the instances, none longer than a row.
        special_tokens: special tokens of each instance.
        row_length: tokens of a row.
        max_sequences: the most sequences of a row.
        rng: the generator of the order. Instances of the same length are interchangeable: it also draws which of them
            share a row.
    """
    from pipeline.instances.kernels import best_fit

    instances, row_of, rows = [Instances.none()], [np.zeros(0, np.int64)], 0
    for copy in copies:
        shuffled = copy.take(rng.permutation(len(copy)))
        lengths = shuffled.a_length + shuffled.b_length + special_tokens
        found = np.empty(len(lengths), np.int64)
        opened = best_fit(lengths, np.argsort(-lengths, kind="stable"), row_length, max_sequences, found)
        instances.append(shuffled)
        row_of.append(found + rows)
        rows += opened
    place = rng.permutation(rows)[np.concatenate(row_of)]
    splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(place, minlength=rows))])
    return Rows(concatenate(instances).take(np.argsort(place, kind="stable")), splits)
