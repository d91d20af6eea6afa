"""Protocol buffers' wire format for a block of messages at once.

A block's messages are alike but for the widths of some varints. So a block is a list of parts, each a column of bytes
or of varints that all messages have at the same place; assembling it gives the messages, one after the other. Numpy
alone: it says what the compiled loop of `pipeline.records.kernels` is to write.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """A part that all messages of a block have at the same place.

    Attributes:
        data: uint8 `[messages, width]`, bytes; or, of varints that take several, integers `[messages, n]`. `[1, width]`
            where all messages are alike.
        is_varint: whether `data` are varints, in [0, 2**35), rather than bytes.
    """

    data: np.ndarray
    is_varint: bool = False

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Bytes of each message: int64 `[messages]`, or `[1]` where all are alike."""
        if self.is_varint:
            lengths: np.ndarray = _widest_varints(self.data)[1].sum(axis=1)
            return lengths
        return np.array([self.data.shape[1]], np.int64)


def constant(data: bytes) -> Part:
    """Bytes that all messages have."""
    return Part(np.frombuffer(data, np.uint8)[np.newaxis])


def varints(values: np.ndarray) -> Part:
    """Varints of integers `[messages]` or `[messages, n]`, side by side."""
    values = values.reshape(len(values), math.prod(values.shape[1:]))
    if values.max(initial=0) < 128:
        return Part(values.astype(np.uint8))
    return Part(values, is_varint=True)


def total_lengths(parts: Sequence[Part]) -> np.ndarray:
    """Bytes of each message's parts together: int64 `[messages]`, or `[1]` where all are alike."""
    return sum((part.lengths for part in parts), np.zeros(1, np.int64))


def assemble(parts: Sequence[Part], messages: int) -> tuple[np.ndarray, np.ndarray]:
    """Writes the messages one after the other.

    All messages are laid out in one matrix in which varints have their widest form, beside a matrix that says which
    bytes count; selecting those gives the messages.

    Returns:
        Their bytes, uint8, and int64 offsets `[messages + 1]` of where each begins.
    """
    columns, keeps = [np.zeros((messages, 0), np.uint8)], [np.zeros((messages, 0), bool)]
    for part in parts:
        data, keep = _widest_varints(part.data) if part.is_varint else (part.data, np.ones(part.data.shape, bool))
        columns.append(np.broadcast_to(data, (messages, data.shape[1])))
        keeps.append(np.broadcast_to(keep, (messages, data.shape[1])))
    keep = np.concatenate(keeps, axis=1)
    row_splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep.sum(axis=1))])
    return np.concatenate(columns, axis=1)[keep], row_splits


def _widest_varints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Varints with five bytes each, and which of these count: uint8 and bool `[messages, 5 * n]`."""
    shifted = values.astype(np.int64)[:, :, np.newaxis] >> np.arange(0, 35, 7)
    data = (shifted & 0x7F).astype(np.uint8)
    data[:, :, :-1] |= (shifted[:, :, 1:] > 0).astype(np.uint8) << 7
    keep = shifted > 0
    keep[:, :, 0] = True
    shape = (len(values), 5 * values.shape[1])
    return data.reshape(shape), keep.reshape(shape)
