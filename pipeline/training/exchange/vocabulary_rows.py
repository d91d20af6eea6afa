"""Changes the rows of a model's vocabulary for a model with an extended vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.tokenizers.growth import Growth


@dataclass(frozen=True)
class VocabularyRows:
    """How to compute the rows of an embedding table, or of the output bias, from those of the original model.

    Attributes:
        table: number of rows of the original model.
        entries: number of entries of its vocabulary; further rows are padding and are left out.
        growth: the entries that the new vocabulary adds; None if it is the same.
        ordinary_ids: ids of old entries that are neither special nor unused, integers.
    """

    table: int
    entries: int
    growth: Growth | None = None
    ordinary_ids: np.ndarray | None = None

    @property
    def changes(self) -> bool:
        """Whether any rows differ from the original model's."""
        return self.growth is not None or self.table != self.entries

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Returns the rows of the new model.

        The row of a new entry is the mean of the rows of the old tokens of its text (Gee et al., 2022, "Fast Vocabulary
        Transfer"). If the old vocabulary cannot spell it, the row is the mean of all ordinary rows (Hewitt, 2021,
        "Initializing New Word Embeddings for Pretrained Language Models").

        Args:
            rows: the rows of the original model, float `[table, ...]`.
        """
        if self.growth is None:
            return rows[: self.entries]
        new = np.empty((self.growth.size, *rows.shape[1:]), rows.dtype)
        new[: self.entries] = rows[: self.entries]
        everything = rows[self.ordinary_ids if self.ordinary_ids is not None else slice(self.entries)]
        mean = everything.mean(axis=0, dtype=np.float64)
        splits = self.growth.row_splits
        for index, start, end in zip(self.growth.new_ids, splits[:-1], splits[1:], strict=True):
            pieces = self.growth.pieces[start:end]
            new[index] = rows[pieces].mean(axis=0, dtype=np.float64) if len(pieces) else mean
        return new

    def describe(self) -> str:
        """Describes how the rows change; "" if they do not."""
        parts = []
        if self.table > self.entries:
            parts.append(f"{self.table - self.entries:,} rows of padding behind its vocabulary left out")
        if self.growth is not None:
            new, in_unused = len(self.growth.new_ids), self.growth.in_unused
            places = f" ({in_unused:,} of them in unused places)" * bool(in_unused)
            parts.append(
                f"the rows of {self.entries - in_unused:,} tokens kept, those of {new:,} new ones{places} set to the"
                " mean of their old pieces' rows"
            )
            unspelled = int((np.diff(self.growth.row_splits) == 0).sum())
            if unspelled:
                parts.append(f"of {unspelled:,} that the old vocabulary cannot spell, to the mean of all")
        return "; ".join(parts)
