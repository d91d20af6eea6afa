"""Inner loops, compiled by Numba: passes over memory that numpy would make many of.

Each has a form in numpy beside its caller that tests compare it with. Compiled code is kept on disk, so that only the
first process on a machine waits for the compiler.
"""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import compiled, read_only

_INT64S, _INT32S, _FLOATS = read_only(types.int64), read_only(types.int32), read_only(types.float64, 2)
_INT32_ROWS, _UINT8_ROWS, _BOOL_ROWS = types.int32[:, ::1], types.uint8[:, ::1], types.boolean[:, ::1]
_BOOLS = read_only(types.boolean, 2)


@compiled(
    *(types.void, _INT32S, _INT64S, _INT64S, _INT64S, _INT64S, types.boolean, types.int64, types.int64),
    *(_INT32_ROWS, _UINT8_ROWS, _BOOL_ROWS),
)
def lay_out(
    token_ids: np.ndarray,
    a_start: np.ndarray,
    a_length: np.ndarray,
    b_start: np.ndarray,
    b_length: np.ndarray,
    pairs: bool,
    cls_id: int,
    sep_id: int,
    ids: np.ndarray,
    type_ids: np.ndarray,
    ordinary: np.ndarray,
) -> None:
    """Puts tokens and special tokens in their places; see `pipeline.instances.examples`.

    Args:
        token_ids: int32, what the ranges refer to.
        a_start, a_length, b_start, b_length: int64 `[n]`, the ranges.
        pairs: whether there is a segment B.
        cls_id, sep_id: ids of [CLS] and [SEP].
        ids: int32 `[n, S]`, filled with padding, to be written to.
        type_ids: uint8 `[n, S]`, zeros, to be written to.
        ordinary: bool `[n, S]`, False, to be written to.
    """
    for row in range(len(a_start)):
        ids[row, 0] = cls_id
        place = 1
        for token in range(a_start[row], a_start[row] + a_length[row]):
            ids[row, place] = token_ids[token]
            # Separators between packed documents; text itself never gives a special id.
            ordinary[row, place] = token_ids[token] != sep_id
            place += 1
        ids[row, place] = sep_id
        if pairs:
            place += 1
            for token in range(b_start[row], b_start[row] + b_length[row]):
                ids[row, place] = token_ids[token]
                type_ids[row, place] = 1
                ordinary[row, place] = True
                place += 1
            ids[row, place] = sep_id
            type_ids[row, place] = 1


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
