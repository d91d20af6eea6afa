"""The compiled loop that lays out examples in one pass, where numpy would need many."""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import compiled, read_only

_INT64S, _INT32S = read_only(types.int64), read_only(types.int32)


@compiled(
    *(types.void, _INT32S, _INT64S, _INT64S, _INT64S, _INT64S, types.boolean, types.int64, types.int64),
    *(types.int32[:, ::1], types.uint8[:, ::1], types.boolean[:, ::1]),
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
    """Writes tokens and special tokens to their places; see `pipeline.instances.examples`.

    Args:
        token_ids: int32, the tokens that the ranges refer to.
        a_start, a_length, b_start, b_length: int64 `[n]`, the ranges.
        pairs: whether there is a segment B.
        cls_id, sep_id: ids of [CLS] and [SEP].
        ids: int32 `[n, S]`, filled with padding; written to.
        type_ids: uint8 `[n, S]`, zeros; written to.
        ordinary: bool `[n, S]`, False; written to.
    """
    for row in range(len(a_start)):
        ids[row, 0] = cls_id
        place = 1
        for token in range(a_start[row], a_start[row] + a_length[row]):
            ids[row, place] = token_ids[token]
            # A [SEP] here separates packed documents; special ids never result from text.
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
