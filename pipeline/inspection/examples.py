"""Stored examples, with their masks undone.

An example is one sequence, or a packed row of several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """A batch of examples.

    Attributes:
        ids: int32 `[batch, S]`, before masking.
        stored_ids: int32 `[batch, S]`, as stored.
        lengths: int64 `[batch]`, tokens, including special tokens.
        ordinary: bool `[batch, S]`: whether a token is neither special nor padding.
        predicted: bool `[batch, S]`: whether a token is predicted; always False in unmasked examples.
        type_ids: int64 `[batch, S]`, 0 in segment A, 1 in segment B.
        begins: bool `[batch, S]`: whether a sequence begins at a token.
        packed: whether examples are rows of several sequences.
        labels: int64 `[batch, Q]`, `next_sentence_labels` of the sequences; Q is 1 if examples are not packed. None
            without pairs.
    """

    ids: np.ndarray
    stored_ids: np.ndarray
    lengths: np.ndarray
    ordinary: np.ndarray
    predicted: np.ndarray
    type_ids: np.ndarray
    begins: np.ndarray
    packed: bool
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def real(self) -> np.ndarray:
        """Whether a token is no padding: bool `[batch, S]`."""
        real: np.ndarray = np.arange(self.ids.shape[1]) < self.lengths[:, np.newaxis]
        return real

    @property
    def begin_at(self) -> np.ndarray:
        """The position at which each token's sequence begins: int64 `[batch, S]`."""
        begin_at: np.ndarray = np.maximum.accumulate(np.where(self.begins, np.arange(self.ids.shape[1]), 0), axis=1)
        return begin_at

    @property
    def rows(self) -> np.ndarray:
        """The example of each sequence: int64 `[sequences]`."""
        return np.nonzero(self.begins)[0]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Adds up values of tokens, `[batch, S]` and 0 at padding, by sequence: `[sequences]`, of their dtype."""
        dtype = np.int64 if values.dtype == bool else values.dtype
        sums: np.ndarray = np.add.reduceat(values.ravel(), np.flatnonzero(self.begins), dtype=dtype)
        return sums

    @staticmethod
    def from_columns(columns: Mapping[str, np.ndarray], special_ids: Mapping[str, int]) -> Examples:
        """Undoes the masks of decoded examples.

        Args:
            columns: by v2 feature name, as `pipeline.records.decoding.decode_examples` returns them; positions must be
                within the examples.
            special_ids: ids of the special tokens, at least of "pad", "cls", "sep".
        """
        stored_ids = columns["input_word_ids"].astype(np.int32)
        ids = stored_ids.copy()
        predicted = np.zeros(ids.shape, bool)
        if "masked_lm_positions" in columns:
            rows, places = np.nonzero(columns["masked_lm_weights"] > 0)
            positions = columns["masked_lm_positions"][rows, places]
            ids[rows, positions] = columns["masked_lm_ids"][rows, places]
            predicted[rows, positions] = True
            lengths = columns["input_mask"].sum(axis=1)
        else:
            lengths = (ids != special_ids["pad"]).sum(axis=1)
        specials = [special_ids[name] for name in ("pad", "cls", "sep")]
        sequence_ids = columns.get("input_sequence_ids")
        begins = np.zeros(ids.shape, bool)
        begins[:, 0] = True
        if sequence_ids is not None:
            begins[:, 1:] = (sequence_ids[:, 1:] != sequence_ids[:, :-1]) & (sequence_ids[:, 1:] > 0)
        return Examples(
            ids=ids,
            stored_ids=stored_ids,
            lengths=lengths,
            ordinary=~np.isin(ids, specials),
            predicted=predicted,
            type_ids=columns["input_type_ids"],
            begins=begins,
            packed=sequence_ids is not None,
            labels=columns.get("next_sentence_labels"),
        )
