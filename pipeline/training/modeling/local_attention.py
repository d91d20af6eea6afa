"""Attention within a window, computed in blocks: time and memory grow with the length, not with its square.

A row is cut into blocks of queries, half a window long. The keys of a block are its own and those of both neighbours:
with a window of 128, a query is compared with 192 keys, however long the row is. Rows that are too short to gain by it
are one block, without neighbours.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# In windows, the longest row that is one block. Up to there, all products together are faster (bench/attention.py).
_ONE_BLOCK = 4


def window_mask(segments: Any, window: int, block: int | None = None) -> Any:
    """Which keys each query attends to.

    Args:
        segments: integers from 0, `[batch, seq_length]`; tokens of equal ones may attend to each other.
        window: even; a token attends to `window / 2` tokens on each side, and to itself.
        block: queries of a block, at least `window / 2`; by default that, or all if the row is short.

    Returns:
        float32 `[batch, blocks, block, keys]`, 1 where a query attends to a key; `keys` is `block` and the tokens on
        both sides of it.
    """
    block, side = _layout(_length(segments, axis=1), window) if block is None else (block, window // 2)
    queries = split_blocks(segments[:, None, :, None], block)[:, 0]  # [B, blocks, block, 1]
    # What fills up the row is no segment.
    keys = with_neighbours(segments[:, None, :, None] + 1, block, side)[:, 0, :, None, :, 0] - 1
    distance = tf.range(block + 2 * side)[None, :] - side - tf.range(block)[:, None]
    near = tf.abs(distance) <= window // 2
    return tf.cast((queries == keys) & near, tf.float32)


def band(length: Any, window: int) -> Any:
    """The window as a mask of the whole row, float32 `[length, length]`, for what needs all probabilities."""
    places = tf.range(length)
    return tf.cast(tf.abs(places[:, None] - places[None, :]) <= window // 2, tf.float32)


def layout_of(mask: Any) -> tuple[Any, Any]:
    """The length of a block and of each of its sides, of what `window_mask` returned; integers or scalar tensors."""
    block, keys = _length(mask, axis=2), _length(mask, axis=3)
    return block, (keys - block) // 2


def split_blocks(heads: Any, block: Any) -> Any:
    """`[batch, heads, seq_length, width]`, filled up with zeros, as `[batch, heads, blocks, block, width]`."""
    length = _length(heads, axis=2)
    return _cut(_fill(heads, 0, -length % block), block)


def with_neighbours(heads: Any, block: Any, side: Any) -> Any:
    """As `split_blocks`, with the `side` tokens before and after each block: `[..., block + 2 * side, width]`."""
    length = _length(heads, axis=2)
    filled = _fill(heads, side, -length % block + side)
    whole = length + -length % block
    # Cut at three places, a token's blocks begin with what is before them, are themselves, and end with what is after.
    before, own, after = (_cut(filled[:, :, start : start + whole], block) for start in (0, side, 2 * side))
    return tf.concat([before[:, :, :, :side], own, after[:, :, :, block - side :]], axis=3)


def join_blocks(blocks: Any, length: Any) -> Any:
    """Undoes `split_blocks`: `[batch, heads, length, width]`."""
    shape = tf.shape(blocks)
    return tf.reshape(blocks, [shape[0], blocks.shape[1], -1, blocks.shape[-1]])[:, :, :length]


def _layout(length: Any, window: int) -> tuple[Any, Any]:
    """The length of a block and of each of its sides."""
    short, side = length <= _ONE_BLOCK * window, window // 2
    if isinstance(length, int):
        return (length, 0) if short else (side, side)
    return tf.where(short, length, side), tf.where(short, 0, side)


def _length(tensor: Any, axis: int) -> Any:
    """The length of an axis: an integer if it is known, which XLA needs."""
    return tensor.shape[axis] if tensor.shape[axis] is not None else tf.shape(tensor)[axis]


def _fill(heads: Any, before: Any, after: Any) -> Any:
    return tf.pad(heads, [[0, 0], [0, 0], [before, after], [0, 0]])


def _cut(heads: Any, block: Any) -> Any:
    return tf.reshape(heads, [tf.shape(heads)[0], heads.shape[1], -1, block, heads.shape[-1]])
