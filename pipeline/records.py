"""The record contract: what a training example holds, and its bytes.

The writer, the loader, the manifest and the validator all derive names, dtypes and lengths from `RecordSpec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.errors import ConfigError
from pipeline.tfrecord import FOOTER_BYTES, HEADER_BYTES, masked_crc
from pipeline.wire import Part, assemble, constant, total_lengths, varints

# tensorflow/models' names with use_v2_feature_names=True, and google-research/bert's where they differ.
_V1_NAMES = {"input_word_ids": "input_ids", "input_type_ids": "segment_ids"}


@dataclass(frozen=True)
class Feature:
    """One fixed-length feature of an example.

    Attributes:
        name: the feature's key.
        dtype: "int64" or "float32".
        length: how many values every example holds.
    """

    name: str
    dtype: str
    length: int


@dataclass(frozen=True)
class RecordSpec:
    """The shape of every example of a corpus.

    Attributes:
        max_seq_length: S, tokens of an example, specials and padding included.
        max_predictions_per_seq: P, room for predictions in an example.
        next_sentence: whether examples carry `next_sentence_labels`.
        masked: whether the mask is in the examples ("static"); else they hold what it takes to draw it when they are
            read, anew in every epoch ("dynamic").
        feature_names: "v2" for tensorflow/models' names, "v1" for google-research/bert's (`input_ids`,
            `segment_ids`).

    Raises:
        ConfigError: if S and P cannot hold together.
    """

    max_seq_length: int
    max_predictions_per_seq: int
    next_sentence: bool = True
    masked: bool = True
    feature_names: str = "v2"

    def __post_init__(self) -> None:
        if self.max_seq_length < 5:
            raise ConfigError(
                "max_seq_length needs room for [CLS], [SEP], [SEP] and two tokens, so at least 5",
                received=self.max_seq_length,
            )
        if not 1 <= self.max_predictions_per_seq <= self.max_seq_length:
            raise ConfigError(
                f"max_predictions_per_seq must be between 1 and max_seq_length ({self.max_seq_length})",
                received=self.max_predictions_per_seq,
                do="BERT uses 20 for length 128 and 76 to 80 for length 512",
            )
        if self.feature_names not in ("v1", "v2"):
            raise ConfigError("feature_names must be v1 or v2", received=self.feature_names)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features under the names that are written, in the order of records.md."""
        seq, predictions = self.max_seq_length, self.max_predictions_per_seq
        if self.masked:
            features = [
                Feature("input_word_ids", "int64", seq),
                Feature("input_mask", "int64", seq),
                Feature("input_type_ids", "int64", seq),
                Feature("masked_lm_positions", "int64", predictions),
                Feature("masked_lm_ids", "int64", predictions),
                Feature("masked_lm_weights", "float32", predictions),
            ]
        else:
            features = [
                Feature("input_word_ids", "int64", seq),
                Feature("input_type_ids", "int64", seq),
                # 1 where a token begins a word, 0 where it goes on with one, and at special tokens and padding.
                Feature("word_starts", "int64", seq),
            ]
        if self.next_sentence:
            features.append(Feature("next_sentence_labels", "int64", 1))
        if self.feature_names == "v1":
            features = [Feature(_V1_NAMES.get(f.name, f.name), f.dtype, f.length) for f in features]
        return tuple(features)

    def stored_name(self, name: str) -> str:
        """The key under which the v2 name `name` is stored."""
        return _V1_NAMES.get(name, name) if self.feature_names == "v1" else name


def encode_tfrecords(spec: RecordSpec, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Encodes a block of examples as TFRecords.

    Args:
        spec: the examples' shape.
        columns: by v2 feature name, integers or floats of shape `[examples, length]`; integers in [0, 2**35).

    Returns:
        `(records, row_splits)`: the framed records' bytes, uint8, and int64 offsets of shape `[examples + 1]`. Record
        i's `tf.train.Example` is `records[row_splits[i] + 12 : row_splits[i + 1] - 4]` and equals
        `tf.train.Example(...).SerializeToString(deterministic=True)`.
    """
    examples = len(columns["input_word_ids"])
    parts: list[Part] = []
    # Deterministic serialisation writes a map's entries in the order of their keys.
    by_key = sorted((spec.stored_name(name), name) for name in columns)
    shapes = {feature.name: feature for feature in spec.features}
    if [key for key, _ in by_key] != sorted(shapes):
        raise ValueError(f"Columns {sorted(columns)} are not the features {sorted(shapes)}.")
    for key, name in by_key:
        parts += _feature_entry(shapes[key], columns[name], examples)
    frame = [constant(b"\x00" * HEADER_BYTES), constant(b"\x0a"), varints(total_lengths(parts))]
    frame += [*parts, constant(b"\x00" * FOOTER_BYTES)]
    records, row_splits = assemble(frame, examples)
    _fill_checksums(records, row_splits)
    return records, row_splits


def _feature_entry(feature: Feature, values: np.ndarray, examples: int) -> list[Part]:
    """The parts of one entry of the map `Features.feature`."""
    if values.shape != (examples, feature.length):
        raise ValueError(f"{feature.name} must have shape {(examples, feature.length)}, not {values.shape}.")
    if feature.dtype == "float32":
        packed, tag = Part(np.ascontiguousarray(values, "<f4").view(np.uint8)), b"\x12"  # float_list
    else:
        packed, tag = varints(values), b"\x1a"  # int64_list
    key = feature.name.encode()
    parts = [packed]
    # From the inside out: the packed values, the list, the Feature, the map's entry.
    for prefix in (b"\x0a", tag, b"\x0a" + bytes([len(key)]) + key + b"\x12"):
        parts = [constant(prefix), varints(total_lengths(parts)), *parts]
    return [constant(b"\x0a"), varints(total_lengths(parts)), *parts]


def _fill_checksums(records: np.ndarray, row_splits: np.ndarray) -> None:
    """Writes each record's length and masked CRC-32Cs into the room left for them.

    The framing is that of tensorflow/core/lib/io/record_writer.h.
    """
    starts, ends = row_splits[:-1], row_splits[1:]
    lengths = ends - starts - HEADER_BYTES - FOOTER_BYTES
    sizes, size_of = np.unique(lengths, return_inverse=True)
    headers = b"".join((raw := int(size).to_bytes(8, "little")) + masked_crc(raw) for size in sizes)
    header = np.frombuffer(headers, np.uint8).reshape(-1, HEADER_BYTES)[size_of]
    records[starts[:, np.newaxis] + np.arange(HEADER_BYTES)] = header
    data = records.tobytes()
    footers = b"".join(
        masked_crc(data[start:end])
        for start, end in zip((starts + HEADER_BYTES).tolist(), (ends - FOOTER_BYTES).tolist(), strict=True)
    )
    footer = np.frombuffer(footers, np.uint8).reshape(-1, FOOTER_BYTES)
    records[ends[:, np.newaxis] - FOOTER_BYTES + np.arange(FOOTER_BYTES)] = footer
