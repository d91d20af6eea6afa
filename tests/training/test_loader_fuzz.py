"""Hostile records, at random: what a loader is given is read whole, or refused by an error of this project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import CorpusError, UserError
from pipeline.manifest import MANIFEST_NAME
from pipeline.records.decoding import read_serialized
from pipeline.records.tfrecord import masked_crc
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset, readable

pytestmark = pytest.mark.slow
EXAMPLES = 21  # In the tiny corpus's first shard of its validation split.


def cases(number: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture(scope="module")
def shard(tiny_corpus: Any) -> bytes:
    return (tiny_corpus.directory / "validation-00000-of-00002.tfrecord").read_bytes()


@pytest.fixture(scope="module")
def records(shard: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("records") / "one.tfrecord"
    path.write_bytes(shard)
    return list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())


def read(path: Path, **options: Any) -> list[dict[str, np.ndarray]] | None:
    """The batches of one pass over a file or a corpus; None if it is refused."""
    config = DataConfig(input_path=str(path), global_batch_size=4, is_training=False, trim=False, **options)
    try:
        return [{k: v.numpy() for k, v in batch.items()} for batch in readable(build_dataset(config))]
    except UserError:
        return None


def rows(batches: list[dict[str, np.ndarray]]) -> np.ndarray:
    return np.concatenate([batch["input_word_ids"] for batch in batches])


CHANGES = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "drop", "insert"]), st.integers(0, 1 << 16), st.binary(min_size=1)),
    min_size=1,
    max_size=3,
)


def change(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, what in changes:
        at = place % (len(data) + 1)
        data = {
            "flip": data[:at] + bytes(a ^ b for a, b in zip(what, data[at:], strict=False)) + data[at + len(what) :],
            "cut": data[:at],
            "drop": data[:at] + data[at + len(what) :],
            "insert": data[:at] + what + data[at:],
        }[kind]
    return data


@cases(600)
@given(changes=CHANGES)
def test_damaged_files(changes: list[tuple[str, int, bytes]], shard: bytes, tiny_corpus: Any, tmp_path: Path) -> None:
    """Checksums tell: what is read is what was written, from the first record on."""
    path = tmp_path / "damaged.tfrecord"
    path.write_bytes(change(shard, changes))
    batches = read(path)
    if batches:
        found = rows(batches)
        expected = tiny_corpus.columns["validation-00000-of-00002.tfrecord"]["input_word_ids"]
        np.testing.assert_array_equal(found, expected[: len(found)])


def framed(record: bytes, length: int | None = None) -> bytes:
    header = (len(record) if length is None else length).to_bytes(8, "little")
    return header + masked_crc(header) + record + masked_crc(record)


NAMES = [
    *["input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights"],
    *["next_sentence_labels", "input_ids", "segment_ids", "word_starts", "text", ""],
]


def feature(values: list[Any]) -> Any:
    if values and isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


VALUES = st.one_of(
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 50), max_size=30),
    st.lists(st.floats(width=32), max_size=30),
    st.lists(st.binary(max_size=8), max_size=4),
    st.sampled_from([1, 4, 24]).flatmap(lambda n: st.lists(st.integers(0, 49), min_size=n, max_size=n)),
    st.just([1.0, 1.0, 0.0, 0.0]),
)
FOREIGN = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=9).map(
    lambda values: tf.train.Example(
        features=tf.train.Features(feature={name: feature(value) for name, value in values.items()})
    ).SerializeToString()
)


@cases(600)
@given(data=st.data(), place=st.integers(0, EXAMPLES), gzip=st.booleans())
def test_foreign_records(data: st.DataObject, place: int, gzip: bool, records: list[bytes], tmp_path: Path) -> None:
    """Whole records that hold something else, at the head of a file or in its midst."""
    changed = CHANGES.map(lambda changes: change(records[0], changes))
    foreign = data.draw(st.lists(FOREIGN | changed | st.binary(max_size=40), min_size=1, max_size=3))
    path = tmp_path / ("foreign.tfrecord.gz" if gzip else "foreign.tfrecord")
    with tf.io.TFRecordWriter(str(path), "GZIP" if gzip else "") as writer:
        for record in [*records[:place], *foreign, *records[place:]]:
            writer.write(record)
    batches = read(path)
    if batches is not None:
        assert len(rows(batches)) == len(records) + len(foreign)
        for batch in batches:
            assert batch["input_word_ids"].shape[1:] == batch["input_mask"].shape[1:]


@cases(200)
@given(length=st.integers(0, 1 << 28), place=st.integers(0, 3))
def test_lengths_that_are_not_the_records(length: int, place: int, records: list[bytes], tmp_path: Path) -> None:
    """The length's checksum is right. (Beyond what memory holds, TensorFlow's reader ends the process.)"""
    path = tmp_path / "long.tfrecord"
    path.write_bytes(b"".join(map(framed, records[:place])) + framed(records[0], length))
    batches = read(path)
    assert batches is None or length == len(records[0])


@cases(100)
@given(length=st.integers(0, (1 << 64) - 1), place=st.integers(0, 3))
def test_lengths_beyond_memory(length: int, place: int, records: list[bytes], tmp_path: Path) -> None:
    """This project's own reader, which is the first to open a file, and the one of validation and inspection."""
    path = tmp_path / "long.tfrecord"
    path.write_bytes(b"".join(map(framed, records[:place])) + framed(records[0], length))
    with pytest.raises(CorpusError, match=f"damaged record {place}"):
        list(read_serialized(str(path)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in nested JSON, as what holds it and its key there."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@cases(600)
@given(data=st.data(), cut=st.booleans())
def test_manifests(data: st.DataObject, cut: bool, tiny_corpus: Any, tmp_path: Path) -> None:
    """A manifest that says something else somewhere, or that is damaged."""
    for source in tiny_corpus.directory.iterdir():
        target = tmp_path / source.name
        if not target.exists():
            target.hardlink_to(source)
    text = (tiny_corpus.directory / MANIFEST_NAME).read_bytes()
    if cut:
        text = change(text, data.draw(CHANGES))
    else:
        manifest = json.loads(text)
        holder, key = data.draw(st.sampled_from(range(len(places(manifest)))).map(places(manifest).__getitem__))
        if data.draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = data.draw(JSON)
        text = json.dumps(manifest).encode()
    (tmp_path / MANIFEST_NAME).unlink()
    (tmp_path / MANIFEST_NAME).write_bytes(text)
    batches = read(tmp_path)
    if batches is not None:
        written = {row.tobytes() for row in tiny_corpus.split("validation")["input_word_ids"].astype(np.int32)}
        assert {row.tobytes() for row in rows(batches)} <= written  # A manifest may leave a shard out.
