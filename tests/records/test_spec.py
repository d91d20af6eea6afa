from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.records import encode_tfrecords_in_numpy

from pipeline.errors import ConfigError
from pipeline.records.spec import RecordSpec, encode_tfrecords

V1 = {"input_word_ids": "input_ids", "input_type_ids": "segment_ids"}
INT_TYPES = (np.uint8, np.int32, np.uint32, np.int64)


def random_columns(spec: RecordSpec, examples: int, largest: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Columns by v2 name, of integers of all sizes up to `largest`."""
    s, p = spec.max_seq_length, spec.max_predictions_per_seq
    lengths = {"input_word_ids": s, "input_type_ids": s}
    if spec.masked:
        lengths |= {"input_mask": s, "masked_lm_positions": p, "masked_lm_ids": p}
    else:
        lengths["word_starts"] = s
    q = spec.max_sequences_per_row
    if spec.packed:
        lengths["input_sequence_ids"] = s
    if spec.packed and spec.next_sentence:
        lengths["next_sentence_positions"] = q
    if spec.next_sentence:
        lengths["next_sentence_labels"] = q or 1
    columns: dict[str, np.ndarray] = {}
    for name, length in lengths.items():
        dtype = rng.choice([t for t in INT_TYPES if np.iinfo(t).max >= largest])
        # The exponent is drawn evenly, so that varints of every width meet.
        bits = rng.random((examples, length)) * largest.bit_length()
        columns[name] = np.minimum(np.exp2(bits) - 1, largest).astype(dtype)
    floats = {"masked_lm_weights": p} if spec.masked else {}
    if spec.packed and spec.next_sentence:
        floats["next_sentence_weights"] = q
    for name, length in floats.items():
        columns[name] = rng.choice([0.0, 1.0, -2.5, 1e-30, np.inf], (examples, length)).astype(np.float32)
    return columns


def reference_bytes(spec: RecordSpec, columns: dict[str, np.ndarray], row: int) -> bytes:
    """What TensorFlow makes of one example."""
    features = {}
    for name, values in columns.items():
        key = V1.get(name, name) if spec.feature_names == "v1" else name
        if values.dtype == np.float32:
            features[key] = tf.train.Feature(float_list=tf.train.FloatList(value=values[row].tolist()))
        else:
            features[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=values[row].tolist()))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString(deterministic=True))


@settings(deadline=None, max_examples=150)
@given(
    st.integers(5, 300).flatmap(lambda s: st.tuples(st.just(s), st.integers(1, s))),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["v1", "v2"]),
    st.sampled_from([0, 0, 1, 7]),
    st.integers(1, 9),
    st.sampled_from([0, 1, 127, 128, 255, 16383, 16384, 30521, 2**21, 2**28, 2**31 - 1]),
    st.integers(0, 2**32),
)
def test_bytes_are_those_of_tensorflow(
    lengths: tuple[int, int],
    next_sentence: bool,
    masked: bool,
    names: str,
    sequences: int,
    examples: int,
    largest: int,
    seed: int,
) -> None:
    kinds = {"next_sentence": next_sentence, "masked": masked, "feature_names": names}
    spec = RecordSpec(*lengths, max_sequences_per_row=sequences, **kinds)  # type: ignore[arg-type]
    columns = random_columns(spec, examples, largest, np.random.default_rng(seed))
    records, row_splits = encode_tfrecords(spec, columns)
    in_numpy, splits_in_numpy = encode_tfrecords_in_numpy(spec, columns)
    np.testing.assert_array_equal(records, in_numpy)
    np.testing.assert_array_equal(row_splits, splits_in_numpy)
    data = records.tobytes()
    assert row_splits.tolist()[0] == 0
    assert row_splits.tolist()[-1] == len(data)
    for row in range(examples):
        assert data[row_splits[row] + 12 : row_splits[row + 1] - 4] == reference_bytes(spec, columns, row)


def test_numbers_on_both_sides_of_every_length() -> None:
    """A varint takes a byte more from 2**7, 2**14, 2**21 and 2**28 on."""
    values = sorted({2**bits + beside for bits in range(31) for beside in (-1, 0, 1)} | {2**31 - 1})
    spec = RecordSpec(len(values), 1)
    columns = random_columns(spec, 3, 1, np.random.default_rng(0))
    columns["input_word_ids"][:] = values
    records, row_splits = encode_tfrecords(spec, columns)
    in_numpy, splits_in_numpy = encode_tfrecords_in_numpy(spec, columns)
    np.testing.assert_array_equal(records, in_numpy)
    np.testing.assert_array_equal(row_splits, splits_in_numpy)
    data = records.tobytes()
    assert data[row_splits[0] + 12 : row_splits[1] - 4] == reference_bytes(spec, columns, 0)


def test_more_examples_than_are_encoded_at_once() -> None:
    spec = RecordSpec(16, 3)
    columns = random_columns(spec, 700, 30521, np.random.default_rng(6))
    records, row_splits = encode_tfrecords(spec, columns)
    in_numpy, splits_in_numpy = encode_tfrecords_in_numpy(spec, columns)
    np.testing.assert_array_equal(records, in_numpy)
    np.testing.assert_array_equal(row_splits, splits_in_numpy)


@pytest.mark.parametrize("names", ["v1", "v2"])
@pytest.mark.parametrize("next_sentence", [False, True])
def test_tensorflow_reads_the_framing_and_parses_fixed_lengths(tmp_path: Path, names: str, next_sentence: bool) -> None:
    spec = RecordSpec(16, 3, next_sentence=next_sentence, feature_names=names)
    columns = random_columns(spec, 50, 30521, np.random.default_rng(5))
    path = tmp_path / "shard.tfrecord"
    path.write_bytes(encode_tfrecords(spec, columns)[0].tobytes())
    words, types = ("input_ids", "segment_ids") if names == "v1" else ("input_word_ids", "input_type_ids")
    # As records.md says, word for word: nothing is taken from the code here.
    features = {
        words: tf.io.FixedLenFeature([16], tf.int64),
        "input_mask": tf.io.FixedLenFeature([16], tf.int64),
        types: tf.io.FixedLenFeature([16], tf.int64),
        "masked_lm_positions": tf.io.FixedLenFeature([3], tf.int64),
        "masked_lm_ids": tf.io.FixedLenFeature([3], tf.int64),
        "masked_lm_weights": tf.io.FixedLenFeature([3], tf.float32),
    }
    if next_sentence:
        features["next_sentence_labels"] = tf.io.FixedLenFeature([1], tf.int64)
    dataset = tf.data.TFRecordDataset(str(path)).map(lambda record: tf.io.parse_single_example(record, features))
    parsed = list(dataset.as_numpy_iterator())
    assert len(parsed) == 50
    for row, example in enumerate(parsed):
        stored = {V1.get(name, name) if names == "v1" else name: values[row] for name, values in columns.items()}
        assert example.keys() == stored.keys()
        for name, values in stored.items():
            np.testing.assert_array_equal(example[name], values)
    assert {f.name: ([f.length], f.dtype) for f in spec.features} == {
        name: (feature.shape, feature.dtype.name) for name, feature in features.items()
    }


def test_unmasked_examples_hold_what_drawing_a_mask_takes() -> None:
    assert [(f.name, f.dtype, f.length) for f in RecordSpec(16, 3, masked=False).features] == [
        ("input_word_ids", "int64", 16),
        ("input_type_ids", "int64", 16),
        ("word_starts", "int64", 16),
        ("next_sentence_labels", "int64", 1),
    ]


def test_packed_rows_hold_their_sequences() -> None:
    of_pairs = [
        ("input_sequence_ids", "int64", 16),
        ("next_sentence_positions", "int64", 4),
        ("next_sentence_labels", "int64", 4),
        ("next_sentence_weights", "float32", 4),
    ]
    for masked in (True, False):
        for next_sentence in (True, False):
            single = RecordSpec(16, 3, masked=masked, next_sentence=next_sentence)
            packed = dataclasses.replace(single, max_sequences_per_row=4)
            assert (single.packed, packed.packed) == (False, True)
            kept = [f for f in single.features if f.name != "next_sentence_labels"]
            assert packed.features[: len(kept)] == tuple(kept)
            more = [(f.name, f.dtype, f.length) for f in packed.features[len(kept) :]]
            assert more == (of_pairs if next_sentence else of_pairs[:1])
    with pytest.raises(ConfigError, match="max_sequences_per_row"):
        RecordSpec(16, 3, max_sequences_per_row=-1)


@pytest.mark.parametrize("place", [0, 9, 40, -1])
def test_checksums_guard_every_part_of_a_record(tmp_path: Path, place: int) -> None:
    spec = RecordSpec(16, 3)
    data = bytearray(encode_tfrecords(spec, random_columns(spec, 1, 100, np.random.default_rng(5)))[0].tobytes())
    path = tmp_path / "shard.tfrecord"
    path.write_bytes(data)
    assert sum(1 for _ in tf.data.TFRecordDataset(str(path))) == 1
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))


def test_no_example_is_no_byte() -> None:
    spec = RecordSpec(16, 3)
    records, row_splits = encode_tfrecords(spec, random_columns(spec, 0, 100, np.random.default_rng(5)))
    assert records.tobytes() == b""
    assert row_splits.tolist() == [0]


def columns_for_errors() -> tuple[RecordSpec, dict[str, np.ndarray]]:
    spec = RecordSpec(16, 3)
    return spec, random_columns(spec, 4, 100, np.random.default_rng(5))


def test_missing_and_superfluous_columns_are_refused() -> None:
    spec, columns = columns_for_errors()
    short = {name: values for name, values in columns.items() if name != "masked_lm_ids"}
    with pytest.raises(ValueError, match="are not the features"):
        encode_tfrecords(spec, short)
    with pytest.raises(ValueError, match="are not the features"):
        encode_tfrecords(spec, columns | {"token_type": columns["input_mask"]})


@pytest.mark.parametrize("shape", [(4, 15), (4, 17), (3, 16), (4, 16, 1), (64,)])
def test_columns_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    spec, columns = columns_for_errors()
    columns["input_mask"] = np.zeros(shape, np.int32)
    with pytest.raises(ValueError, match="input_mask must have shape"):
        encode_tfrecords(spec, columns)


@pytest.mark.parametrize("lengths", [(4, 1), (128, 0), (128, 129), (5, 6)])
def test_lengths_that_cannot_be_are_refused(lengths: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"Received: \d+\."):
        RecordSpec(*lengths)


def test_unknown_feature_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="v1 or v2"):
        RecordSpec(128, 20, feature_names="v3")


def test_stored_names() -> None:
    new, old = RecordSpec(128, 20), RecordSpec(128, 20, feature_names="v1")
    assert [new.stored_name(n) for n in ("input_word_ids", "input_mask")] == ["input_word_ids", "input_mask"]
    assert [old.stored_name(n) for n in ("input_word_ids", "input_type_ids")] == ["input_ids", "segment_ids"]
