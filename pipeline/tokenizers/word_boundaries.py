"""Finds where words begin in a sequence of tokens, for whole-word masking."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class WordBoundaries(NamedTuple):
    """Describes which entries of a vocabulary begin words.

    Attributes:
        begins: bool `[vocab_size]`: whether a token begins a word rather than continuing one.
        behind: int8 `[vocab_size]`: how a token affects the next one: 1, the next token begins a word; -1, it continues
            this token's word; 0, its own entry in `begins` decides; 2 or more, its entry in `after` decides. None if
            this is 0 for all tokens.
        after: bool `[classes, vocab_size]`: row `c` holds whether a token begins a word after one whose `behind` is
            `2 + c`. None if there is none.
    """

    begins: np.ndarray
    behind: np.ndarray | None = None
    after: np.ndarray | None = None

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Finds the tokens that begin a word.

        Args:
            ids: integers `[..., tokens]`.

        Returns:
            Bool, of the same shape. For the first token of a row, `begins` alone decides.
        """
        begins: np.ndarray = self.begins[ids]
        if self.behind is not None:
            before = self.behind[ids[..., :-1]]
            begins[..., 1:] = np.where(before == 0, begins[..., 1:], before > 0)
            if self.after is not None:
                by_class = self.after[np.maximum(before - 2, 0), ids[..., 1:]]
                begins[..., 1:] = np.where(before >= 2, by_class, begins[..., 1:])
        return begins
