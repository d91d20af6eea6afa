"""Stored examples, with their masks undone."""

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
        labels: int64 `[batch]`, `next_sentence_labels`; None without pairs.
    """

    ids: np.ndarray
    stored_ids: np.ndarray
    lengths: np.ndarray
    ordinary: np.ndarray
    predicted: np.ndarray
    type_ids: np.ndarray
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ids)

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
        labels = columns.get("next_sentence_labels")
        return Examples(
            ids=ids,
            stored_ids=stored_ids,
            lengths=lengths,
            ordinary=~np.isin(ids, specials),
            predicted=predicted,
            type_ids=columns["input_type_ids"],
            labels=None if labels is None else labels[:, 0],
        )
