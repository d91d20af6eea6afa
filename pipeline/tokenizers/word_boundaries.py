"""Where words begin in a row of tokens: what whole-word masking needs to know."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class WordBoundaries(NamedTuple):
    """What the entries of a vocabulary say about the words that they are part of.

    Attributes:
        begins: bool `[vocab_size]`: whether a token begins a word rather than going on with one.
        behind: int8 `[vocab_size]`: what a token says of the one behind it: 1, it begins a word; -1, it goes on with
            this one's; 0, it tells that itself. None if all leave it to the next.
    """

    begins: np.ndarray
    behind: np.ndarray | None = None

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Tells which tokens begin a word.

        Args:
            ids: integers `[..., tokens]`.

        Returns:
            Bool, of the same shape. The first of a row tells for itself alone.
        """
        begins: np.ndarray = self.begins[ids]
        if self.behind is not None:
            before = self.behind[ids[..., :-1]]
            begins[..., 1:] = np.where(before == 0, begins[..., 1:], before > 0)
        return begins
