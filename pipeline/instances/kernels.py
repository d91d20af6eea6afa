"""Compiled loops: one packs sequences into rows, one lays out rows in one pass, where numpy would need many."""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import compiled, inlined, read_only

_INT64S, _INT32S = read_only(types.int64), read_only(types.int32)


@compiled(
    *(types.void, _INT32S, _INT64S, _INT64S, _INT64S, _INT64S, _INT64S, types.boolean, types.int64, types.int64),
    *(types.int32[:, ::1], types.uint8[:, ::1], types.boolean[:, ::1], types.int32[:, ::1]),
)
def lay_out(
    token_ids: np.ndarray,
    row_splits: np.ndarray,
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
    sequence_ids: np.ndarray,
) -> None:
    """Writes tokens and special tokens to their places; see `pipeline.instances.examples`.

    Args:
        token_ids: int32, the tokens that the ranges refer to.
        row_splits: int64 `[rows + 1]`; row i holds the ranges `row_splits[i]:row_splits[i + 1]` one behind another.
        a_start, a_length, b_start, b_length: int64 `[n]`, the ranges.
        pairs: whether there is a segment B.
        cls_id, sep_id: ids of [CLS] and [SEP].
        ids: int32 `[rows, S]`, filled with padding; written to.
        type_ids: uint8 `[rows, S]`, zeros; written to.
        ordinary: bool `[rows, S]`, False; written to.
        sequence_ids: int32 `[rows, S]`, zeros; written to. `[rows, 0]` if rows are not packed.
    """
    packed = sequence_ids.shape[1] > 0
    for row in range(len(row_splits) - 1):
        place = 0
        for item in range(row_splits[row], row_splits[row + 1]):
            begin = place
            ids[row, place] = cls_id
            place += 1
            tokens = token_ids[a_start[item] : a_start[item] + a_length[item]]
            end = place + a_length[item]
            row_ids, row_ordinary = ids[row, place:end], ordinary[row, place:end]
            for token in range(len(tokens)):
                row_ids[token] = tokens[token]
                # A [SEP] here separates joined documents; special ids never result from text.
                row_ordinary[token] = tokens[token] != sep_id
            place = end
            ids[row, place] = sep_id
            place += 1
            if pairs:
                for token in range(b_start[item], b_start[item] + b_length[item]):
                    ids[row, place] = token_ids[token]
                    type_ids[row, place] = 1
                    ordinary[row, place] = True
                    place += 1
                ids[row, place] = sep_id
                type_ids[row, place] = 1
                place += 1
            if packed:
                sequence_ids[row, begin:place] = item - row_splits[row] + 1


@inlined
def _first_open(open_rows: np.ndarray, leaves: int, space: int) -> int:
    """Returns the smallest free space, at least `space`, of any open row; -1 if there is none."""
    node = leaves + space
    while node and not open_rows[node]:
        # Upwards to the next subtree on the right.
        while node & 1:
            node >>= 1
        node += node > 0
    if not node:
        return -1
    while node < leaves:
        node *= 2
        node += not open_rows[node]
    return node - leaves


@compiled(types.int64, _INT64S, _INT64S, types.int64, types.int64, types.int64[::1])
def best_fit(lengths: np.ndarray, order: np.ndarray, row_length: int, max_sequences: int, row_of: np.ndarray) -> int:
    """Puts each sequence into the fullest open row with room for it, else into a new row.

    With the longest sequences first, this is best-fit decreasing (Johnson, 1974, "Fast algorithms for bin packing"). A
    sequence takes O(log row_length) steps.

    Args:
        lengths: int64 `[n]`, tokens of the sequences, 1 to `row_length`.
        order: int64 `[n]`, the sequences in the order in which they are placed.
        row_length: tokens of a row.
        max_sequences: the most sequences of a row, at least 1.
        row_of: int64 `[n]`; the row of each sequence is written to it, from 0 in the order in which rows are opened.

    Returns:
        The number of rows.
    """
    leaves = 1
    while leaves <= row_length:
        leaves *= 2
    # A tree over free spaces: how many open rows have a free space within a node's range.
    open_rows = np.zeros(2 * leaves, np.int64)
    # Rows of the same free space, as a linked list.
    last = np.full(row_length + 1, -1, np.int64)
    below, sequences = np.empty(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    rows = 0
    for item in order:
        space = _first_open(open_rows, leaves, lengths[item])
        if space < 0:
            row, space = rows, row_length
            rows += 1
        else:
            row = last[space]
            last[space] = below[row]
            node = leaves + space
            while node:
                open_rows[node] -= 1
                node >>= 1
        row_of[item] = row
        sequences[row] += 1
        space -= lengths[item]
        if space and sequences[row] < max_sequences:
            below[row] = last[space]
            last[space] = row
            node = leaves + space
            while node:
                open_rows[node] += 1
                node >>= 1
    return rows
