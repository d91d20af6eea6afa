from __future__ import annotations

import dataclasses
import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import CorpusError
from pipeline.records.decoding import check_examples, decode_examples, infer_spec, read_serialized, value_ranges
from pipeline.records.spec import RecordSpec, encode_tfrecords

SPECS = [
    RecordSpec(16, 3),
    RecordSpec(16, 3, feature_names="v1"),
    RecordSpec(16, 3, next_sentence=False),
    RecordSpec(16, 3, masked=False),
    RecordSpec(16, 3, masked=False, next_sentence=False, feature_names="v1"),
    RecordSpec(16, 3, max_sequences_per_row=4),
    RecordSpec(16, 3, masked=False, max_sequences_per_row=2, feature_names="v1"),
    RecordSpec(16, 3, next_sentence=False, max_sequences_per_row=5),
]


def random_columns(spec: RecordSpec, examples: int) -> dict[str, np.ndarray]:
    """Columns by v2 name."""
    rng = np.random.default_rng(7)
    v2 = dataclasses.replace(spec, feature_names="v2")
    return {
        f.name: rng.integers(0, 30522, (examples, f.length)).astype(f.dtype)
        if f.dtype == "int64"
        else rng.random((examples, f.length), np.float32)
        for f in v2.features
    }


def serialized(spec: RecordSpec, columns: dict[str, np.ndarray]) -> list[bytes]:
    records, splits = encode_tfrecords(spec, columns)
    return [records[a + 12 : b - 4].tobytes() for a, b in itertools.pairwise(splits)]


@pytest.mark.parametrize("spec", SPECS)
def test_decoding_is_the_inverse_of_encoding(spec: RecordSpec) -> None:
    columns = random_columns(spec, 37)
    decoded = decode_examples(spec, serialized(spec, columns))
    assert decoded.keys() == columns.keys()
    for name, values in columns.items():
        assert decoded[name].dtype == values.dtype
        np.testing.assert_array_equal(decoded[name], values)


def test_no_record_is_no_example() -> None:
    decoded = decode_examples(SPECS[0], [])
    assert {name: values.shape for name, values in decoded.items()}["masked_lm_weights"] == (0, 3)


@pytest.mark.parametrize(
    ("record", "reason"), [(b"\xff\xff", "not a tf.train.Example"), (b"", "is required"), (b"text", "parse")]
)
def test_what_is_no_such_example_is_refused(record: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_examples(SPECS[0], [record])
    with pytest.raises(CorpusError, match=r"here must be"):
        infer_spec(record, "here")


def test_an_example_of_other_lengths_is_refused() -> None:
    records = serialized(SPECS[0], random_columns(SPECS[0], 1))
    with pytest.raises(ValueError, match=r"^input_word_ids, .*16 but output shape: \[17\]$"):
        decode_examples(RecordSpec(17, 3), records)


@pytest.mark.parametrize("spec", SPECS)
def test_the_shape_is_told_by_a_record(spec: RecordSpec) -> None:
    inferred = infer_spec(serialized(spec, random_columns(spec, 1))[0], "record")
    if not spec.masked:
        # Room for predictions leaves no trace in an example without any.
        spec = dataclasses.replace(spec, max_predictions_per_seq=16)
    assert inferred == spec


def test_values_of_packed_rows_have_ranges() -> None:
    spec = SPECS[5]
    ranges = value_ranges(spec)
    assert ranges["input_sequence_ids"][:2] == (0, 4)
    assert ranges["next_sentence_positions"][:2] == (0, 15)
    columns = {name: np.zeros_like(values) for name, values in random_columns(spec, 2).items()}
    columns["input_sequence_ids"][1, 3] = 5
    with pytest.raises(CorpusError, match=r"Record 1 of here .*input_sequence_ids must be between 0 and 4"):
        check_examples(spec, serialized(spec, columns), ranges, "here")


def test_other_examples_are_refused_with_what_they_hold() -> None:
    image = tf.train.Example()
    image.features.feature["pixels"].float_list.value.extend([1.0, 2.0])
    with pytest.raises(CorpusError, match=r"pixels\[2\]"):
        infer_spec(image.SerializeToString(), "record")


@pytest.mark.parametrize("name", ["shard.tfrecord", "shard.tfrecord.gz"])
def test_reading_a_shard(tmp_path: Path, name: str) -> None:
    columns = random_columns(SPECS[0], 5)
    data = encode_tfrecords(SPECS[0], columns)[0].tobytes()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert list(read_serialized(str(tmp_path / name))) == serialized(SPECS[0], columns)
    (tmp_path / name).write_bytes(data[:-1] if name.endswith("d") else data)
    with pytest.raises(CorpusError, match="damaged record"):
        list(read_serialized(str(tmp_path / name)))
