"""Compiled loops that write TFRecords of examples, in one pass over the values of each, and find records in files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from pipeline.compiling import compiled, inlined, read_only

_BYTES, _INT64S = read_only(types.uint8), read_only(types.int64)
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


def _make_crc_tables() -> np.ndarray:
    """CRC-32C of every byte followed by 0 to 15 zeros, uint32 `[16, 256]` (Kounavis and Berry, 2005, slicing)."""
    tables = np.zeros((16, 256), np.uint32)
    tables[0] = np.arange(256)
    for _ in range(8):
        tables[0] = (tables[0] >> np.uint32(1)) ^ (np.uint32(0x82F63B78) * (tables[0] & np.uint32(1)))
    for zeros in range(1, 16):
        tables[zeros] = (tables[zeros - 1] >> np.uint32(8)) ^ tables[0][tables[zeros - 1] & np.uint32(0xFF)]
    return tables


CRC_TABLES = _make_crc_tables()


@inlined
def masked_crc(data: np.ndarray, begin: int, end: int, tables: np.ndarray) -> np.uint32:
    """Computes the CRC-32C of `data[begin:end]` with TFRecord's masking."""
    crc = np.uint32(0xFFFFFFFF)
    place = begin
    while place + 16 <= end:
        block = data[place : place + 16]
        crc ^= (
            np.uint32(block[0])
            | np.uint32(block[1]) << np.uint32(8)
            | np.uint32(block[2]) << np.uint32(16)
            | np.uint32(block[3]) << np.uint32(24)
        )
        # What does not depend on the bytes before comes first: the processor need not wait for it.
        rest = tables[11, block[4]] ^ tables[10, block[5]] ^ tables[9, block[6]] ^ tables[8, block[7]]
        rest ^= tables[7, block[8]] ^ tables[6, block[9]] ^ tables[5, block[10]] ^ tables[4, block[11]]
        rest ^= tables[3, block[12]] ^ tables[2, block[13]] ^ tables[1, block[14]] ^ tables[0, block[15]]
        crc = (
            tables[15, crc & np.uint32(0xFF)]
            ^ tables[14, (crc >> np.uint32(8)) & np.uint32(0xFF)]
            ^ tables[13, (crc >> np.uint32(16)) & np.uint32(0xFF)]
            ^ tables[12, crc >> np.uint32(24)]
            ^ rest
        )
        place += 16
    while place < end:
        crc = np.uint32(crc >> np.uint32(8)) ^ tables[0, (crc ^ np.uint32(data[place])) & np.uint32(0xFF)]
        place += 1
    crc = np.uint32(crc ^ np.uint32(0xFFFFFFFF))
    return np.uint32(((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8))


@inlined
def _put_uint32(out: np.ndarray, place: int, value: np.uint32) -> None:
    for byte in range(4):
        out[place + byte] = (value >> np.uint32(8 * byte)) & np.uint32(0xFF)


@inlined
def _varint_bytes(value: int) -> int:
    return 1 + (value >= 1 << 7) + (value >= 1 << 14) + (value >= 1 << 21) + (value >= 1 << 28)


@inlined
def _put_varint(out: np.ndarray, place: int, value: int) -> int:
    """Writes a varint; returns the place after it."""
    while value >= 128:
        out[place] = (value & 0x7F) | 0x80
        value >>= 7
        place += 1
    out[place] = value
    return place + 1


@inlined
def _put_varints(out: np.ndarray, place: int, values: np.ndarray) -> int:
    """Writes varints; returns the place after them. There must be room for two more bytes."""
    for value in values:
        # No vocabulary is larger: writes three bytes without a branch, and keeps those that are needed.
        if value < 1 << 21:
            out[place] = (value & 0x7F) | ((value >= 1 << 7) << 7)
            out[place + 1] = ((value >> 7) & 0x7F) | ((value >= 1 << 14) << 7)
            out[place + 2] = value >> 14
            place += 1 + (value >= 1 << 7) + (value >= 1 << 14)
        else:
            place = _put_varint(out, place, value)
    return place


@compiled(
    *(types.int64, read_only(types.int32, 2), read_only(types.uint8, 2), _BYTES, _INT64S, _INT64S, _BYTES, _BYTES),
    *(_INT64S, read_only(types.uint32, 2), types.int64, types.uint8[::1], types.int64[::1]),
)
def encode_rows(
    wide: np.ndarray,
    narrow: np.ndarray,
    is_wide: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    tags: np.ndarray,
    keys: np.ndarray,
    key_splits: np.ndarray,
    tables: np.ndarray,
    place: int,
    out: np.ndarray,
    row_splits: np.ndarray,
) -> int:
    """Writes a `tf.train.Example` for each row, framed as a TFRecord; see `pipeline.records.spec.encode_tfrecords`.

    Args:
        wide: int32 `[rows, values]`, non-negative integers that may take several bytes, of all features side by side.
        narrow: uint8 `[rows, bytes]`, likewise, of bytes that are written unchanged: integers below 128, and floats.
        is_wide: uint8 `[features]`: whether a feature's values are in `wide` or in `narrow`.
        begins, ends: int64 `[features]`: its columns there.
        tags: uint8 `[features]`: the tag of its list in a Feature.
        keys: uint8, the features' names, in the order in which they are written; each shorter than 128 bytes.
        key_splits: int64 `[features + 1]`, the row splits of `keys`.
        tables: `CRC_TABLES`.
        place: where in `out` the first record begins.
        out: uint8, with enough room; written to.
        row_splits: int64 `[rows + 1]`, where records begin; written to.

    Returns:
        The place after the last record.
    """
    features = len(is_wide)
    payloads, lists = np.empty(features, np.int64), np.empty(features, np.int64)
    wraps, entries = np.empty(features, np.int64), np.empty(features, np.int64)
    row_splits[0] = place
    for row in range(len(wide)):
        # From the inside out: the packed values, the list, the Feature, the map's entry.
        body = 0
        for feature in range(features):
            payload = ends[feature] - begins[feature]
            if is_wide[feature]:
                more = 0
                for value in wide[row, begins[feature] : ends[feature]]:
                    more += (value >= 1 << 7) + (value >= 1 << 14) + (value >= 1 << 21) + (value >= 1 << 28)
                payload += more
            payloads[feature] = payload
            lists[feature] = 1 + _varint_bytes(payload) + payload
            wraps[feature] = 1 + _varint_bytes(lists[feature]) + lists[feature]
            key_bytes = key_splits[feature + 1] - key_splits[feature]
            entries[feature] = 2 + key_bytes + 1 + _varint_bytes(wraps[feature]) + wraps[feature]
            body += 1 + _varint_bytes(entries[feature]) + entries[feature]
        length = 1 + _varint_bytes(body) + body
        begin = place + _HEADER_BYTES
        for byte in range(8):
            out[place + byte] = (length >> (8 * byte)) & 0xFF
        _put_uint32(out, place + 8, masked_crc(out, place, place + 8, tables))
        out[begin] = 0x0A
        place = _put_varint(out, begin + 1, body)
        for feature in range(features):
            out[place] = 0x0A
            place = _put_varint(out, place + 1, entries[feature])
            out[place] = 0x0A
            out[place + 1] = key_splits[feature + 1] - key_splits[feature]
            place += 2
            for byte in range(key_splits[feature], key_splits[feature + 1]):
                out[place] = keys[byte]
                place += 1
            out[place] = 0x12
            place = _put_varint(out, place + 1, wraps[feature])
            out[place] = tags[feature]
            place = _put_varint(out, place + 1, lists[feature])
            out[place] = 0x0A
            place = _put_varint(out, place + 1, payloads[feature])
            first, last = begins[feature], ends[feature]
            if is_wide[feature]:
                place = _put_varints(out, place, wide[row, first:last])
            else:
                data, target = narrow[row, first:last], out[place : place + last - first]
                for byte in range(len(target)):
                    target[byte] = data[byte]
                place += last - first
        _put_uint32(out, place, masked_crc(out, begin, place, tables))
        place += _FOOTER_BYTES
        row_splits[row + 1] = place
    return place


# === Framing ===


@inlined
def _uint32(data: np.ndarray, place: int) -> np.uint32:
    return (
        np.uint32(data[place])
        | np.uint32(data[place + 1]) << np.uint32(8)
        | np.uint32(data[place + 2]) << np.uint32(16)
        | np.uint32(data[place + 3]) << np.uint32(24)
    )


HEADER_DIFFERS, DATA_DIFFER, TOO_LONG = 1, 2, 3


@compiled(types.Tuple((types.int64, types.int64)), _BYTES, types.boolean, read_only(types.uint32, 2), types.int64[::1])
def find_records(data: np.ndarray, checked: bool, tables: np.ndarray, splits: np.ndarray) -> tuple[int, int]:
    """Finds whole records.

    Args:
        data: uint8, framed records; the last may be cut short.
        checked: whether to compare checksums.
        tables: `CRC_TABLES`.
        splits: int64, written to: where records begin, and where the last whole one ends; reading stops where it is
            full.

    Returns:
        The number of whole records, and what is wrong with the next: 0 if it is not there, or cut short.
    """
    count = 0
    place: Any = 0
    splits[0] = 0
    while count + 1 < len(splits) and place + 12 <= len(data):
        length = np.uint64(0)
        for byte in range(8):
            length |= np.uint64(data[place + byte]) << np.uint64(8 * byte)
        if checked and masked_crc(data, place, place + 8, tables) != _uint32(data, place + 8):
            return count, HEADER_DIFFERS
        if length > np.uint64(1 << 40):
            return count, TOO_LONG
        end: Any = place + 12 + np.int64(length)
        if end + 4 > len(data):
            break
        if checked and masked_crc(data, place + 12, end, tables) != _uint32(data, end):
            return count, DATA_DIFFER
        place = end + 4
        count += 1
        splits[count] = place
    return count, 0
