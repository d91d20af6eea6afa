"""Compiled loops of the reader: where a position of the order is stored, where records begin, and what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from pipeline.compiling import called, compiled, inlined, read_only
from pipeline.splitmix import FACTOR_1, GOLDEN, mixed

_INT64S, _UINT8S = read_only(types.int64), read_only(types.uint8)
_INT64, _UINT64, _BOOL = types.int64, types.uint64, types.boolean
_ROUNDS = 8
# What a permutation is of: keeps their keys apart.
_CHUNKS, _WINDOW = np.uint64(1), np.uint64(2)

# === The order ===


@called
def _permuted(item: int, items: int, key: np.uint64) -> Any:
    """Where a pseudo-random permutation of `items` numbers puts `item`.

    A Feistel network of halves that differ by a bit at most, whose results beyond `items` are permuted again until one
    is within (Black and Rogaway, 2002, "Ciphers with arbitrary finite domains").
    """
    bits = 2
    while (1 << bits) < items:
        bits += 1
    low_bits, high_bits = np.uint64(bits // 2), np.uint64(bits - bits // 2)
    low_mask, high_mask = (np.uint64(1) << low_bits) - np.uint64(1), (np.uint64(1) << high_bits) - np.uint64(1)
    value = np.uint64(item)
    while True:
        low, high = value & low_mask, value >> low_bits
        for turn in range(_ROUNDS):
            round_key = key + np.uint64(turn) * GOLDEN
            if turn & 1:
                high ^= mixed(low ^ round_key) & high_mask
            else:
                low ^= mixed(high ^ round_key) & low_mask
        value = (high << low_bits) | low
        if value < np.uint64(items):
            return np.int64(value)


@compiled(types.void, *(_INT64S, *[_INT64] * 4, _UINT64), *[types.int64[::1]] * 4)
def locate(
    positions: np.ndarray,
    examples: int,
    per_chunk: int,
    lanes: int,
    width: int,
    seed: np.uint64,
    epochs: np.ndarray,
    windows: np.ndarray,
    chunks: np.ndarray,
    records: np.ndarray,
) -> None:
    """Finds which record stands at each position of the order; see `pipeline.reader.order.Order`.

    Args:
        positions: int64 `[n]`, from 0; one epoch follows another.
        examples: of an epoch, at least 1.
        per_chunk: records of a chunk; the last has what is left.
        lanes: number of lanes.
        width: chunks of a lane in a window, at least 1.
        seed: of the order.
        epochs: int64 `[n]`, written to: how many epochs come before.
        windows: int64 `[n]`, written to: the number of the window, counted over all epochs.
        chunks: int64 `[n]`, written to: the number of the chunk.
        records: int64 `[n]`, written to: the record's number within its chunk.
    """
    whole = examples // per_chunk  # Chunks that are full.
    full_windows = whole // (lanes * width)
    # What is left becomes one smaller window, and then one that is not divided into lanes.
    left = whole - full_windows * lanes * width
    small = left // lanes
    rest = left - small * lanes
    window_size = lanes * width * per_chunk
    small_begin = full_windows * window_size
    rest_begin = small_begin + small * lanes * per_chunk
    windows_per_epoch = full_windows + 2
    for i in range(len(positions)):
        epoch = positions[i] // examples
        place = positions[i] - epoch * examples
        key = mixed(mixed(seed + GOLDEN) ^ (np.uint64(epoch) * FACTOR_1))
        chunk_key = mixed(key ^ _CHUNKS)
        if place < rest_begin:
            if place < small_begin:
                window, size = place // window_size, width
            else:
                window, size = full_windows, small
            within = place - window * window_size
            lane, item = within % lanes, within // lanes
            window_key = mixed(mixed(key ^ _WINDOW) + np.uint64(window * lanes + lane) * GOLDEN)
            item = _permuted(item, size * per_chunk, window_key)
            slot = item // per_chunk
            chunk = _permuted(window * lanes * width + lane * size + slot, whole, chunk_key)
            record = item - slot * per_chunk
        else:
            window = full_windows + 1
            window_key = mixed(mixed(key ^ _WINDOW) + np.uint64(window * lanes) * GOLDEN)
            item = _permuted(place - rest_begin, examples - rest_begin, window_key)
            slot = item // per_chunk
            chunk = whole
            if slot < rest:
                chunk = _permuted(whole - rest + slot, whole, chunk_key)
            record = item - slot * per_chunk
        epochs[i] = epoch
        windows[i] = epoch * windows_per_epoch + window
        chunks[i] = chunk
        records[i] = record


# === Decoding ===


@intrinsic  # type: ignore[untyped-decorator]
def _bytes_at(context: Any, address: Any) -> Any:
    """Turns an address into a pointer to bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.int64), generate


@inlined
def _int64(data: Any, place: int) -> Any:
    value = np.int64(0)
    for byte in range(8):
        value |= np.int64(data[place + byte]) << (8 * byte)
    return value


@called
def _varint(data: Any, place: int, end: int) -> tuple[Any, int]:
    """Reads a varint; returns its value and the place after it, or -1 as the place if it does not end."""
    value, shift = np.uint64(0), np.uint64(0)
    while place < end and shift < np.uint64(70):
        byte = np.uint64(data[place])
        place += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            return np.int64(value), place
        shift += np.uint64(7)
    return np.int64(0), -1


@called
def _field(data: Any, place: int, end: int) -> tuple[int, Any, Any, Any]:
    """Reads a field of a message.

    Returns:
        Its tag, where its contents begin and end, and the place after it; -1 as the place if it is malformed.
    """
    tag, begin = _varint(data, place, end)
    if begin < 0:
        return 0, 0, 0, -1
    kind = tag & 7
    last = -1
    if kind == 2:
        length, begin = _varint(data, begin, end)
        if begin >= 0 and 0 <= length <= end - begin:
            last = begin + length
    elif kind == 0:
        _, last = _varint(data, begin, end)
    elif kind == 5:
        last = begin + 4
    elif kind == 1:
        last = begin + 8
    if last < 0 or last > end:
        return 0, 0, 0, -1
    return tag, begin, last, last


@called
def _put_values(
    data: Any, place: int, end: int, is_float: bool, low: int, high: int, out: np.ndarray, first: int, last: int
) -> int:
    """Writes the values of a list; returns how many there are, or -1 if they are malformed or out of range."""
    target = first
    value: Any
    while place < end:
        tag, begin, stop, place = _field(data, place, end)
        if place < 0:
            return -1
        if tag == 10 and not is_float and stop - begin == last - target:
            # As many bytes as values are left: each is one, which is most of what records hold.
            some = np.uint8(0)
            for i in range(last - target):
                some |= data[begin + i]
            if some >= 128:
                return -1
            bad = np.bool_(False)
            for i in range(last - target):
                value = np.int64(data[begin + i])
                bad |= (value < low) | (value > high)
                out[target + i] = value
            if bad:
                return -1
            target = last
        elif tag == 10 or tag == 8 or tag == 13:
            # Packed; a single varint, whose tag's contents are itself; a single float.
            while begin < stop:
                if is_float:
                    if tag == 8 or begin + 4 > stop:
                        return -1
                    value = np.int64(0)
                    for byte in range(4):
                        value |= np.int64(data[begin + byte]) << (8 * byte)
                    begin += 4
                    if value == 1 << 31:  # -0.0.
                        value = 0
                else:
                    if tag == 13:
                        return -1
                    byte0 = np.int64(data[begin])
                    if byte0 < 128:
                        value = byte0
                        begin += 1
                    elif begin + 1 < stop and data[begin + 1] < 128:
                        value = (byte0 & 0x7F) | np.int64(data[begin + 1]) << 7
                        begin += 2
                    else:
                        value, begin = _varint(data, begin, stop)
                        if begin < 0:
                            return -1
                if target == last or value < low or value > high:
                    return -1
                out[target] = value
                target += 1
    return target - first


@compiled(
    *(types.int64, _INT64S, _INT64S, _INT64S, _INT64S, _UINT8S, _INT64S, _UINT8S, _INT64S, _INT64S, _INT64S, _INT64S),
    types.int32[::1],
)
def decode_records(
    buffers: np.ndarray,
    splits: np.ndarray,
    buffer_of: np.ndarray,
    record_of: np.ndarray,
    keys: np.ndarray,
    key_splits: np.ndarray,
    is_float: np.ndarray,
    begins: np.ndarray,
    widths: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    out: np.ndarray,
) -> int:
    """Decodes `tf.train.Example`s, in whatever order and packing their features were written.

    Args:
        buffers: int64 `[buffers]`, addresses of framed records.
        splits: int64 `[buffers]`, addresses of int64 offsets: where the records of a buffer begin, and where the last
            one ends.
        buffer_of: int64 `[rows]`, the buffer of each row.
        record_of: int64 `[rows]`, its record there.
        keys: uint8, the features' names, one behind another.
        key_splits: int64 `[features + 1]`, the row splits of `keys`.
        is_float: uint8 `[features]`, whether values are floats.
        begins: int64 `[features]`, where a feature's values begin in `out`.
        widths: int64 `[features]`, values of a feature in each example.
        lows, highs: int64 `[features]`, the allowed values; of floats, their bits.
        out: int32, `[rows, width]` for each feature, one behind another; of floats, their bits.

    Returns:
        The first row that could not be decoded; -1 if there is none.
    """
    features = len(widths)
    found = np.zeros(features, np.uint8)
    for row in range(len(buffer_of)):
        data = _bytes_at(buffers[buffer_of[row]])
        offsets = _bytes_at(splits[buffer_of[row]])
        place, end = _int64(offsets, 8 * record_of[row]) + 12, _int64(offsets, 8 * record_of[row] + 8) - 4
        found[:] = 0
        next_feature = 0
        while place < end:  # Fields of the example.
            tag, inner, inner_end, place = _field(data, place, end)
            if place < 0:
                return row
            if tag != 10:
                continue
            while inner < inner_end:  # Entries of the map of features.
                tag, part, part_end, inner = _field(data, inner, inner_end)
                if inner < 0:
                    return row
                if tag != 10:
                    continue
                key, key_end, value, value_end = 0, 0, 0, 0
                while part < part_end:
                    tag, begin, stop, part = _field(data, part, part_end)
                    if part < 0:
                        return row
                    if tag == 10:
                        key, key_end = begin, stop
                    elif tag == 18:
                        value, value_end = begin, stop
                feature = -1
                for candidate in range(features):  # Usually the one after the last.
                    tried = (next_feature + candidate) % features
                    size = key_splits[tried + 1] - key_splits[tried]
                    if size != key_end - key:
                        continue
                    same = True
                    for i in range(size):
                        same &= keys[key_splits[tried] + i] == data[key + i]
                    if same:
                        feature = tried
                        break
                if feature < 0:
                    continue
                next_feature = feature + 1
                count = -1
                while value < value_end:  # The list of a feature.
                    tag, begin, stop, value = _field(data, value, value_end)
                    if value < 0:
                        return row
                    if tag == (18 if is_float[feature] else 26):
                        first = begins[feature] + row * widths[feature]
                        last = first + widths[feature]
                        low, high = lows[feature], highs[feature]
                        count = _put_values(data, begin, stop, is_float[feature] == 1, low, high, out, first, last)
                found[feature] = count == widths[feature]  # The last of a name counts.
        for feature in range(features):
            if not found[feature]:
                return row
    return -1
