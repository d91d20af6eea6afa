"""Tokens drawn without repetition, in numpy passes alone."""

from __future__ import annotations

import numpy as np


def choose_tokens(maskable: np.ndarray, wanted: np.ndarray, drawn: np.ndarray, selected: np.ndarray) -> None:
    """What `pipeline.masking.kernels.choose_tokens` writes.

    The first steps of a Fisher-Yates shuffle of each row's candidates, all rows a step at a time.
    """
    candidates = np.argsort(~maskable, axis=1, kind="stable")
    number = maskable.sum(axis=1)
    for draw in range(int(wanted.max(initial=0))):
        rows = np.flatnonzero(wanted > draw)
        other = draw + (drawn[rows, draw] * (number[rows] - draw)).astype(np.int64)
        selected[rows, candidates[rows, other]] = True
        candidates[rows, other] = candidates[rows, draw]
