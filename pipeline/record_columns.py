"""Records back to columns: the inverse of `pipeline.records.encode_tfrecords`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.errors import ConfigError, CorpusError
from pipeline.quiet import start_tensorflow
from pipeline.records import RecordSpec
from pipeline.tfrecord import open_records, read_records


def parsing_features(spec: RecordSpec) -> dict[str, Any]:
    """What `tf.io.parse_example` needs to know of the examples, by the names they are stored under."""
    import tensorflow as tf

    return {
        feature.name: tf.io.FixedLenFeature([feature.length], tf.dtypes.as_dtype(feature.dtype))
        for feature in spec.features
    }


def decode_examples(spec: RecordSpec, records: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Decodes serialised examples.

    Args:
        spec: their shape.
        records: any number of them.

    Returns:
        By v2 feature name, int64 or float32 arrays of shape `[examples, length]`.

    Raises:
        ValueError: if one of them is not of this shape.
    """
    start_tensorflow()
    import tensorflow as tf

    try:
        with tf.device("CPU:0"):
            parsed = tf.io.parse_example(tf.constant(list(records), tf.string), parsing_features(spec))
    except UnicodeDecodeError as error:  # TensorFlow quotes the record in its message.
        raise ValueError("not a tf.train.Example") from error
    except tf.errors.InvalidArgumentError as error:
        # Between the names of nodes and kernels stand the feature and what is wrong with it.
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
        raise CorpusError(
            f"{path} must be a TFRecord file",
            received=f"a damaged record {number:,}: {reason}",
            do="Copy the shard again, or make the corpus again; the names of GZIP files end in .gz",
        )

    with open_records(path) as stream:
        for _, record in read_records(stream, refuse):
            yield record


def infer_spec(record: bytes, name: str) -> RecordSpec:
    """The shape that an example has.

    Args:
        record: a serialised `tf.train.Example`.
        name: what to call it in messages.

    Raises:
        CorpusError: if it is not an example of masked-LM pre-training.
    """
    start_tensorflow()
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise CorpusError(f"{name} must be a tf.train.Example", received=str(error)) from error
    lengths = {
        key: max(len(f.int64_list.value), len(f.float_list.value), len(f.bytes_list.value))
        for key, f in features.items()
    }
    masked = "masked_lm_positions" in lengths
    feature_names = "v1" if "input_ids" in lengths else "v2"
    sequence = lengths.get("input_ids", lengths.get("input_word_ids", 0))
    try:
        spec = RecordSpec(
            max_seq_length=sequence,
            max_predictions_per_seq=lengths["masked_lm_positions"] if masked else sequence,
            next_sentence="next_sentence_labels" in lengths,
            masked=masked,
            feature_names=feature_names,
        )
        if all(lengths.get(feature.name) == feature.length for feature in spec.features):
            return spec
    except ConfigError:
        pass
    raise CorpusError(
        f"{name} must be a masked-LM example (input_word_ids, masked_lm_positions...)",
        received=", ".join(f"{key}[{length}]" for key, length in sorted(lengths.items())) or "no feature",
    )
