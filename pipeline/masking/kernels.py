"""Compiled loops that choose and write predictions: passes over memory that numpy would make many of."""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import compiled, read_only

_INT64S, _INT32S, _FLOATS = read_only(types.int64), read_only(types.int32), read_only(types.float64, 2)
_INT32_ROWS, _BOOL_ROWS = types.int32[:, ::1], types.boolean[:, ::1]
_BOOLS = read_only(types.boolean, 2)


@compiled(types.void, _BOOLS, _INT64S, _FLOATS, _BOOL_ROWS)
def choose_tokens(maskable: np.ndarray, wanted: np.ndarray, drawn: np.ndarray, selected: np.ndarray) -> None:
    """Chooses tokens of each row without repetition; see `pipeline.masking.selection.select_tokens`.

    Args:
        maskable: bool `[batch, S]`.
        wanted: int64 `[batch]`, not more than may be chosen.
        drawn: float64 `[batch, most wanted]`, in [0, 1).
        selected: bool `[batch, S]`, False, to be written to.
    """
    candidates = np.empty(maskable.shape[1], np.int64)
    for row in range(len(maskable)):
        number = 0
        for place in range(maskable.shape[1]):
            if maskable[row, place]:
                candidates[number] = place
                number += 1
        for draw in range(wanted[row]):
            other = draw + int(drawn[row, draw] * (number - draw))
            chosen = candidates[other]
            candidates[other] = candidates[draw]
            selected[row, chosen] = True


@compiled(types.void, _BOOLS, _INT32S, _INT32_ROWS, _INT32_ROWS, _INT32_ROWS, types.float32[:, ::1])
def put_predictions(
    selected: np.ndarray,
    replacements: np.ndarray,
    input_word_ids: np.ndarray,
    positions: np.ndarray,
    ids: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Writes the predictions of each row and puts the replacements in; see `pipeline.masking.masking`.

    Args:
        selected: bool `[batch, S]`.
        replacements: int32 `[selected tokens]`, row by row: what stands in their place; -1 where they stay.
        input_word_ids: int32 `[batch, S]`, the originals, to be written to.
        positions: int32 `[batch, P]`, zeros, to be written to.
        ids: int32 `[batch, P]`, zeros, to be written to.
        weights: float32 `[batch, P]`, zeros, to be written to.
    """
    token = 0
    for row in range(len(selected)):
        column = 0
        for place in range(selected.shape[1]):
            if selected[row, place]:
                positions[row, column] = place
                ids[row, column] = input_word_ids[row, place]
                weights[row, column] = 1.0
                if replacements[token] >= 0:
                    input_word_ids[row, place] = replacements[token]
                column += 1
                token += 1
