"""Decodes records to columns: the inverse of `pipeline.records.spec.encode_tfrecords`."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import ConfigError, CorpusError
from pipeline.quiet import start_tensorflow
from pipeline.records.spec import RecordSpec
from pipeline.records.tfrecord import damaged, open_records, read_records

_INT32_MAX, _FLOAT32_MAX = 2**31 - 1, 3.4e38
NO_EXAMPLE = "bytes that are not a tf.train.Example"


class Range(NamedTuple):
    """The allowed values of a feature: the smallest, the largest, and what sets these limits."""

    low: float
    high: float
    limit: str


def parsing_features(spec: RecordSpec) -> dict[str, Any]:
    """Returns the `features` argument of `tf.io.parse_example`, by the names under which features are stored."""
    import tensorflow as tf

    return {
        feature.name: tf.io.FixedLenFeature([feature.length], tf.dtypes.as_dtype(feature.dtype))
        for feature in spec.features
    }


def value_ranges(
    spec: RecordSpec, *, vocab_size: int | None = None, type_vocab_size: int | None = None
) -> dict[str, Range]:
    """Returns the allowed values of each feature, by its v2 name.

    Args:
        spec: the shape of the examples.
        vocab_size: entries of the vocabulary; None if unknown.
        type_vocab_size: kinds of segments that a model knows; None if unknown.
    """
    ids, types = (_INT32_MAX if size is None else min(size - 1, _INT32_MAX) for size in (vocab_size, type_vocab_size))
    known = {
        "input_word_ids": Range(0, ids, f"vocab_size, a vocabulary of {ids + 1:,}"),
        "masked_lm_ids": Range(0, ids, f"vocab_size, a vocabulary of {ids + 1:,}"),
        "input_type_ids": Range(0, types, "type_vocab_size"),
        "masked_lm_positions": Range(0, spec.max_seq_length - 1, "the length of the sequence"),
        "masked_lm_weights": Range(0, _FLOAT32_MAX, "a finite number"),
        "input_sequence_ids": Range(0, spec.max_sequences_per_row, "max_sequences_per_row"),
        "next_sentence_positions": Range(0, spec.max_seq_length - 1, "the length of the sequence"),
    }
    v2_spec = dataclasses.replace(spec, feature_names="v2")
    return {feature.name: known.get(feature.name, Range(0, 1, "a flag")) for feature in v2_spec.features}


def decode_examples(spec: RecordSpec, records: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Decodes serialised examples.

    Args:
        spec: their shape.
        records: any number of them.

    Returns:
        By v2 feature name, int64 or float32 arrays of shape `[examples, length]`.

    Raises:
        ValueError: if one of them does not have this shape.
    """
    start_tensorflow()
    import tensorflow as tf

    try:
        with tf.device("CPU:0"):
            parsed = tf.io.parse_example(tf.constant(list(records), tf.string), parsing_features(spec))
    except UnicodeDecodeError as error:  # TensorFlow quotes the record in its message.
        raise ValueError("not a tf.train.Example") from error
    except tf.errors.InvalidArgumentError as error:
        # The feature and its fault are between the names of nodes and kernels.
        found = re.search(r"(?:Key|Feature): (.*?)(?: \[Op:\w+\])?$", error.message, re.DOTALL)
        raise ValueError(found[1] if found else error.message) from error
    v2_features = dataclasses.replace(spec, feature_names="v2").features
    return {v2.name: parsed[stored.name].numpy() for v2, stored in zip(v2_features, spec.features, strict=True)}


def read_serialized(path: str) -> Iterator[bytes]:
    """Reads the records of a shard.

    Raises:
        InputError: if it cannot be opened.
        CorpusError: if it is damaged.
    """

    def refuse(number: int, reason: str) -> None:
        raise damaged(path, number, reason)

    with open_records(path) as stream:
        for _, record in read_records(stream, refuse):
            yield record


def infer_spec(record: bytes, name: str) -> RecordSpec:
    """Infers the shape of an example.

    Args:
        record: a serialised `tf.train.Example`.
        name: its name in messages.

    Raises:
        CorpusError: if it is not an example of masked-LM pre-training.
    """
    found = _stored_features(record)
    if found is None:
        raise CorpusError(f"{name} must be a tf.train.Example", received=NO_EXAMPLE)
    lengths = {key: len(values) for key, (_, values) in found.items()}
    masked = "masked_lm_positions" in lengths
    feature_names = "v1" if "input_ids" in lengths else "v2"
    sequence = lengths.get("input_ids", lengths.get("input_word_ids", 0))
    packed = "input_sequence_ids" in lengths
    # Without labels nothing tells Q, but a sequence has at least [CLS], a token and [SEP].
    most_sequences = lengths.get("next_sentence_labels", sequence // 3)
    try:
        spec = RecordSpec(
            max_seq_length=sequence,
            max_predictions_per_seq=lengths["masked_lm_positions"] if masked else sequence,
            next_sentence="next_sentence_labels" in lengths,
            masked=masked,
            feature_names=feature_names,
            max_sequences_per_row=most_sequences if packed else 0,
        )
    except ConfigError as error:
        fault = f"{_listed(found)}. {error}"
    else:
        fault = describe_fault(spec, record)
        if not fault:
            return spec
    raise CorpusError(f"{name} must be a masked-LM example (input_word_ids, masked_lm_positions...)", received=fault)


def first_record(path: str) -> tuple[bytes, RecordSpec]:
    """Reads the first record of a file, and the shape of its example, which has its masks.

    Raises:
        InputError: if the file cannot be opened.
        CorpusError: if there is none, or it is not an example of masked-LM pre-training.
    """
    record = next(read_serialized(path), None)
    if record is None:
        raise CorpusError(f"{path} must contain masked-LM examples", received="a file without records")
    spec = infer_spec(record, f"The first record of {path}")
    if not spec.masked:
        raise CorpusError(
            f"{path} contains examples without masks; drawing masks requires the corpus's vocabulary",
            do="Give the corpus's directory instead of its files",
        )
    return record, spec


def feature_lengths(record: bytes) -> dict[str, int]:
    """How many values each feature of a serialised `tf.train.Example` has, by the names they are stored under."""
    return {name: len(values) for name, (_, values) in (_stored_features(record) or {}).items()}


def check_examples(
    spec: RecordSpec, records: Sequence[bytes], ranges: Mapping[str, Range], path: str, first: int = 0
) -> dict[str, np.ndarray]:
    """Decodes serialised examples, and checks that they have a given shape, and values in range.

    Args:
        spec: the shape.
        records: any number of them.
        ranges: the result of `value_ranges`.
        path: the file that they are from.
        first: the number of the first of them in that file.

    Returns:
        As `decode_examples`.

    Raises:
        CorpusError: naming the first wrong example, its feature, what it must be and what it is.
    """
    try:
        columns = decode_examples(spec, records)
        if all(bool(np.all((ranges[key].low <= c) & (c <= ranges[key].high))) for key, c in columns.items()):
            return columns
    except ValueError:
        pass
    for number, record in enumerate(records, start=first):
        fault = describe_fault(spec, record, ranges)
        if fault:
            raise CorpusError(
                f"Record {number:,} of {path} must be a masked-LM example",
                received=fault,
                do="Compare the shards with their SHA-256 in the manifest, and copy or make them again",
            )
    return decode_examples(spec, records)


def describe_fault(spec: RecordSpec, record: bytes, ranges: Mapping[str, Range] | None = None) -> str:
    """Describes why a record is not an example of a given shape.

    Args:
        spec: the shape.
        record: a serialised `tf.train.Example`.
        ranges: the allowed values of features, by their v2 names; if None, any value is allowed.

    Returns:
        The feature, what it must be and what it is, in words; empty if nothing is wrong.
    """
    found = _stored_features(record)
    if found is None:
        return NO_EXAMPLE
    v2_features = dataclasses.replace(spec, feature_names="v2").features
    for feature, v2 in zip(spec.features, v2_features, strict=True):
        wanted = f"{feature.name} must be {feature.length} values of {feature.dtype}"
        if feature.name not in found:
            return f"{wanted}, but is missing; there are {_listed(found)}"
        dtype, values = found[feature.name]
        if dtype != feature.dtype or len(values) != feature.length:
            return f"{wanted}, but is {len(values)} of {dtype}"
        low, high, limit = ranges[v2.name] if ranges else (-math.inf, math.inf, "")
        wrong = next((value for value in values if not low <= value <= high), None)
        if wrong is not None:
            return f"{feature.name} must be between {low} and {high} ({limit}), but contains {wrong}"
    return ""


def _stored_features(record: bytes) -> dict[str, tuple[str, Sequence[Any]]] | None:
    """Returns the type and the values of each feature; None if the record is not an example."""
    start_tensorflow()
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return None
    found: dict[str, tuple[str, Sequence[Any]]] = {}
    for key, feature in features.items():
        kind = feature.WhichOneof("kind") or "int64_list"
        dtype = {"int64_list": "int64", "float_list": "float32", "bytes_list": "bytes"}[kind]
        found[key] = (dtype, getattr(feature, kind).value)
    return found


def _listed(found: Mapping[str, tuple[str, Sequence[Any]]]) -> str:
    return (
        ", ".join(f"{key}[{len(values)}] of {dtype}" for key, (dtype, values) in sorted(found.items())) or "no feature"
    )
