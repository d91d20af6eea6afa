"""The compiled decoder beside TensorFlow's, on everything that the wire format allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.numbered import examples_of

from pipeline.reader.chunks import Chunk
from pipeline.reader.decoding import Decoder
from pipeline.records.decoding import parsing_features, value_ranges
from pipeline.records.spec import Feature, RecordSpec, encode_tfrecords

SPEC = RecordSpec(16, 4)
RANGES = value_ranges(SPEC, vocab_size=2005, type_vocab_size=2)


def chunk_of(records: list[bytes]) -> Chunk:
    framed = [bytes(12) + record + bytes(4) for record in records]
    data = np.frombuffer(b"".join(framed) or b"\0", np.uint8)
    splits = np.cumsum([0, *map(len, framed)])
    return Chunk(data, splits, (data.ctypes.data, splits.ctypes.data))


def decode(records: list[bytes], decoder: Decoder | None = None) -> tuple[dict[str, np.ndarray], int]:
    rows = np.arange(len(records))
    return (decoder or Decoder(SPEC, RANGES)).decode([chunk_of(records)], np.zeros_like(rows), rows)


def varint(value: int) -> bytes:
    value %= 1 << 64
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def ints(values: Any, *, packed: bool = True) -> bytes:
    if packed:
        return field(3, field(1, b"".join(varint(int(value)) for value in values)))
    return field(3, b"".join(b"\x08" + varint(int(value)) for value in values))


def floats(values: Any, *, packed: bool = True) -> bytes:
    data = [np.float32(value).tobytes() for value in values]
    return field(2, field(1, b"".join(data)) if packed else b"".join(b"\x0d" + value for value in data))


def entry(name: str, feature: bytes, *, key_first: bool = True) -> bytes:
    key, value = field(1, name.encode()), field(2, feature)
    return field(1, key + value if key_first else value + key)


def columns_of(count: int = 5, spec: RecordSpec = SPEC) -> dict[str, np.ndarray]:
    return examples_of(spec, count, 990)


def as_int32(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: c if c.dtype == np.float32 else c.astype(np.int32) for n, c in columns.items()}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, column in as_int32(expected).items():
        assert found[name].dtype == column.dtype
        np.testing.assert_array_equal(found[name], column, err_msg=name)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        RecordSpec(16, 4, next_sentence=False, feature_names="v1"),
        RecordSpec(300, 70, masked=False),
        RecordSpec(5, 1),
    ],
)
def test_what_the_encoder_writes(spec: RecordSpec) -> None:
    columns = columns_of(200, RecordSpec(16, 4)) if spec == SPEC else None
    if columns is None:
        rng = np.random.default_rng(0)
        v2 = RecordSpec(spec.max_seq_length, spec.max_predictions_per_seq, spec.next_sentence, spec.masked).features
        top = 2**31 - 1
        columns = {
            f.name: rng.random((200, f.length)).astype(np.float32)
            if f.dtype == "float32"
            else rng.choice([0, 1, 127, 128, 16_383, 16_384, 2**21, 2**28, top], (200, f.length))
            for f in v2
        }
    records, splits = encode_tfrecords(spec, columns)
    chunk = Chunk(records, splits, (records.ctypes.data, splits.ctypes.data))
    order = np.random.default_rng(1).permutation(200)
    found, fault = Decoder(spec, {}).decode([chunk], np.zeros(200, np.int64), order)
    assert fault == -1
    assert_same(found, {name: column[order] for name, column in columns.items()})


@given(st.data())
@settings(max_examples=150)
def test_any_order_packing_and_company(data: st.DataObject) -> None:
    columns = columns_of(3)
    records = []
    for row in range(3):
        entries = []
        for name, column in columns.items():
            values = column[row]
            packed = data.draw(st.booleans())
            feature = floats(values, packed=packed) if column.dtype == np.float32 else ints(values, packed=packed)
            entries.append(entry(name, feature, key_first=data.draw(st.booleans())))
            if data.draw(st.booleans()):  # An earlier one of the same name, which does not count.
                entries.insert(0, entry(name, ints([1, 2, 3]) if column.dtype == np.float32 else ints(values + 1)))
        company = [entry("other", ints([5])), entry("", b""), entry("x", field(1, b"y"))]
        entries += data.draw(st.lists(st.sampled_from(company), max_size=3))
        noise = data.draw(st.sampled_from([b"", b"\x10\x05", b"\x1d" + bytes(4), b"\x19" + bytes(8), field(7, b"new")]))
        cut = data.draw(st.integers(0, len(entries)))
        halves = [field(1, b"".join(entries[:cut])), field(1, b"".join(entries[cut:]))]
        parts = data.draw(st.sampled_from([[field(1, b"".join(entries))], halves]))
        records.append(noise.join([b"", *parts, b""]))
    parsed = tf.io.parse_example(tf.constant(records), parsing_features(SPEC))
    found, fault = decode(records)
    assert fault == -1
    assert_same(found, {name: column.numpy() for name, column in parsed.items()})


FAULTS = {
    "nothing": b"",
    "cut short": field(1, b"")[:-1] + b"\x05",
    "a length beyond the end": b"\x0a\xff\xff\xff\xff\x0f",
    "a negative length": b"\x0a" + varint(-1),
    "an endless varint": b"\x0a" + b"\xff" * 20,
    "a group": b"\x0b\x0c",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_example(fault: str) -> None:
    records, splits = encode_tfrecords(SPEC, columns_of(2))
    good = [records[splits[i] + 12 : splits[i + 1] - 4].tobytes() for i in range(2)]
    assert decode([*good, FAULTS[fault], good[0]])[1] == 2


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("input_word_ids", ints([2005] * 16)),
        ("input_word_ids", ints([-1] * 16)),
        ("input_word_ids", ints([2**32 + 5] * 16)),
        ("input_word_ids", ints([2**31] * 16)),
        ("input_word_ids", ints([7] * 15)),
        ("input_word_ids", ints([7] * 17)),
        ("input_word_ids", ints([700] * 17)),
        ("input_word_ids", ints([7] * 17, packed=False)),
        ("input_word_ids", floats([7] * 16)),
        ("input_word_ids", field(1, field(1, b"abc"))),
        ("input_word_ids", b""),
        ("input_mask", ints([2] * 16)),
        ("input_mask", field(3, field(1, b"\x80" * 16))),
        ("masked_lm_weights", floats([np.nan, 1, 1, 1])),
        ("masked_lm_weights", floats([np.inf, 1, 1, 1])),
        ("masked_lm_weights", floats([-0.5, 1, 1, 1])),
        ("masked_lm_weights", ints([1, 1, 1, 1])),
        ("masked_lm_weights", field(2, field(1, bytes(15)))),
    ],
)
def test_values_that_are_not_allowed(name: str, feature: bytes) -> None:
    columns = columns_of(1)
    entries = {n: floats(c[0]) if c.dtype == np.float32 else ints(c[0]) for n, c in columns.items()}
    good = field(1, b"".join(entry(n, f) for n, f in entries.items()))
    bad = field(1, b"".join(entry(n, feature if n == name else f) for n, f in entries.items()))
    without = field(1, b"".join(entry(n, f) for n, f in entries.items() if n != name))
    assert decode([good])[1] == -1
    assert decode([good, bad])[1] == 1
    assert decode([without, good])[1] == 0


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.data())
@settings(max_examples=300)
def test_garbage_is_never_read_beyond_its_end(garbage: list[bytes], data: st.DataObject) -> None:
    """What the decoder takes, TensorFlow takes, with the same values."""
    records, splits = encode_tfrecords(SPEC, columns_of(1))
    record = bytearray(records[splits[0] + 12 : splits[1] - 4].tobytes())
    for _ in range(data.draw(st.integers(0, 4))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    for item in [*garbage, bytes(record)]:
        found, fault = decode([item])
        if fault < 0:
            parsed = tf.io.parse_example(tf.constant([item]), parsing_features(SPEC))
            assert_same(found, {name: column.numpy() for name, column in parsed.items()})


def test_minus_zero_is_a_weight() -> None:
    columns = columns_of(1)
    columns["masked_lm_weights"][0, 1:] = -0.0
    records, splits = encode_tfrecords(SPEC, columns)
    found, fault = decode([records[splits[0] + 12 : splits[1] - 4].tobytes()])
    assert fault == -1
    np.testing.assert_array_equal(found["masked_lm_weights"], [[1, 0, 0, 0]])


def test_features_that_are_wanted_or_not() -> None:
    columns = columns_of(2)
    entries = [
        b"".join(entry(n, floats(c[row]) if c.dtype == np.float32 else ints(c[row])) for n, c in columns.items())
        for row in range(2)
    ]
    records = [field(1, body + entry("position_ids", ints(range(16)))) for body in entries]
    decoder = Decoder(SPEC, RANGES, without=("next_sentence_labels",), extra=[Feature("position_ids", "int64", 16)])
    found, fault = decode(records, decoder)
    assert fault == -1
    del columns["next_sentence_labels"]
    assert_same(found, columns | {"position_ids": np.tile(np.arange(16), (2, 1))})
    assert decode([field(1, entries[0])], decoder)[1] == 0
