"""Documents of tokens, and the instances that are cut from them, as columns.

An instance is a pair of ranges of tokens: ten copies of a corpus copy no token until examples are written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np


class TokenizedDocuments(NamedTuple):
    """The tokens of a block's documents.

    Attributes:
        ids: int32 `[tokens]`, sentence after sentence.
        sentence_splits: int64 `[sentences + 1]`; sentence i holds `ids[sentence_splits[i]:sentence_splits[i + 1]]`, at
            least one token.
        document_splits: int64 `[documents + 1]`; document i holds the sentences
            `document_splits[i]:document_splits[i + 1]`, at least one.
    """

    ids: np.ndarray
    sentence_splits: np.ndarray
    document_splits: np.ndarray

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.document_splits) - 1


@dataclass(frozen=True)
class Instances:
    """Pre-training instances, as ranges into `TokenizedDocuments.ids`.

    Attributes:
        a_start: int64 `[instances]`, the first token of segment A.
        a_length: int64 `[instances]`, tokens of segment A, at least one.
        b_start: int64 `[instances]`, the first token of segment B.
        b_length: int64 `[instances]`, tokens of segment B; 0 if there is none.
        label: int64 `[instances]`, `next_sentence_labels`; 0 if there are no pairs.
    """

    a_start: np.ndarray
    a_length: np.ndarray
    b_start: np.ndarray
    b_length: np.ndarray
    label: np.ndarray

    @staticmethod
    def none() -> Instances:
        """Returns an empty set of instances."""
        return Instances(*(np.zeros(0, np.int64) for _ in fields(Instances)))

    def __len__(self) -> int:
        return len(self.a_start)

    def take(self, indices: np.ndarray | slice) -> Instances:
        """Returns the instances at `indices`, in that order."""
        return Instances(*(getattr(self, field.name)[indices] for field in fields(self)))


def drop_empty(ids: np.ndarray, row_splits: np.ndarray, document_splits: np.ndarray) -> TokenizedDocuments:
    """Drops sentences without a token, then documents without a sentence.

    Args:
        ids: int32 `[tokens]`.
        row_splits: int64 `[sentences + 1]`, the sentences' tokens.
        document_splits: int64 `[documents + 1]`, the documents' sentences.
    """
    kept = np.diff(row_splits) > 0
    sentence_splits = np.concatenate([row_splits[:1], row_splits[1:][kept]])
    kept_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    return TokenizedDocuments(ids, sentence_splits, np.unique(kept_before[document_splits]))


def concatenate(parts: Iterable[Instances]) -> Instances:
    """Joins instances that refer to the same tokens."""
    columns = zip(*(tuple(getattr(part, field.name) for field in fields(Instances)) for part in parts), strict=True)
    return Instances(*map(np.concatenate, columns))
