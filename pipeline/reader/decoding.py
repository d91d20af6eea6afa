"""Decodes records of chunks to columns, compiled: the inverse of `pipeline.records.spec.encode_tfrecords`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.reader.chunks import Chunk
from pipeline.records.decoding import Range
from pipeline.records.spec import Feature, RecordSpec


class Decoder:
    """Decodes examples of one shape.

    Args:
        spec: the shape.
        ranges: the allowed values of features, by v2 name.
        without: v2 names of features that are not wanted.
        extra: further features, with names as stored, whose values may be any.
    """

    def __init__(
        self,
        spec: RecordSpec,
        ranges: Mapping[str, Range],
        *,
        without: Sequence[str] = (),
        extra: Sequence[Feature] = (),
    ) -> None:
        v2_features = dataclasses.replace(spec, feature_names="v2").features
        pairs = [(s, v2.name) for s, v2 in zip(spec.features, v2_features, strict=True) if v2.name not in without]
        pairs += [(feature, feature.name) for feature in extra]
        # Records have them in this order; the loop expects each after the last.
        pairs.sort(key=lambda pair: pair[0].name)
        anything = Range(0, 2**31 - 1, "")
        bounds = [ranges.get(name, anything) for _, name in pairs]
        keys = [stored.name.encode() for stored, _ in pairs]
        self._features = [(name, stored.dtype == "float32", stored.length) for stored, name in pairs]
        self._layout = (
            np.frombuffer(b"".join(keys), np.uint8),
            np.cumsum([0, *map(len, keys)]),
            np.array([is_float for _, is_float, _ in self._features], np.uint8),
        )
        self._widths = np.array([width for *_, width in self._features], np.int64)
        limits = [
            [_as_integer(value, is_float) for value in bound[:2]]
            for bound, (_, is_float, _) in zip(bounds, self._features, strict=True)
        ]
        self._lows, self._highs = np.array(limits, np.int64).T.copy()

    def decode(
        self, chunks: Sequence[Chunk], chunk_of: np.ndarray, record_of: np.ndarray
    ) -> tuple[dict[str, np.ndarray], int]:
        """Decodes records.

        Args:
            chunks: any number of them.
            chunk_of: int64 `[n]`, in which of `chunks` each record is.
            record_of: int64 `[n]`, its number there.

        Returns:
            By v2 name, int32 or float32 arrays `[n, length]`, and the first record that is not an example of this shape
            with values in range; -1 if there is none.
        """
        from pipeline.reader.kernels import decode_records

        rows = len(chunk_of)
        ends = np.cumsum(rows * self._widths)
        begins = ends - rows * self._widths
        out = np.empty(int(ends[-1]), np.int32)
        buffers, splits = np.array([chunk.addresses for chunk in chunks], np.int64).reshape(-1, 2).T.copy()
        fault = decode_records(
            buffers, splits, chunk_of, record_of, *self._layout, begins, self._widths, self._lows, self._highs, out
        )
        columns = {}
        for (name, is_float, width), begin, end in zip(self._features, begins.tolist(), ends.tolist(), strict=True):
            column = out[begin:end].reshape(rows, width)
            columns[name] = column.view(np.float32) if is_float else column
        return columns, fault


def _as_integer(value: float, is_float: bool) -> int:
    """A bound as the compiled loop compares it: of non-negative floats, the bits are in the floats' order."""
    return int(np.float32(value).view(np.int32)) if is_float else int(value)
