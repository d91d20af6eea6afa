"""The record format: what a training example holds, and how it is encoded.

The writer, the loader, the manifest and the validator all derive names, dtypes and lengths from `RecordSpec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.errors import ConfigError

_ROWS_AT_ONCE = 256  # Rows encoded at a time: few enough to stay in the processor's cache.
_LIST_TAGS = {"int64": b"\x1a", "float32": b"\x12"}  # A Feature's int64_list and float_list.
# tensorflow/models' names with use_v2_feature_names=True, and google-research/bert's where they differ.
_V1_NAMES = {"input_word_ids": "input_ids", "input_type_ids": "segment_ids"}

# Those of the next-sentence head; the first and the last in packed rows alone.
NEXT_SENTENCE_FEATURES = ("next_sentence_positions", "next_sentence_labels", "next_sentence_weights")


@dataclass(frozen=True)
class Feature:
    """One fixed-length feature of an example.

    Attributes:
        name: the feature's key.
        dtype: "int64" or "float32".
        length: the number of its values in every example.
    """

    name: str
    dtype: str
    length: int


@dataclass(frozen=True)
class RecordSpec:
    """The shape of every example of a corpus.

    Attributes:
        max_seq_length: S, tokens of an example, including special tokens and padding.
        max_predictions_per_seq: P, room for predictions in an example.
        next_sentence: whether examples have `next_sentence_labels`.
        masked: whether examples are stored with their masks ("static"). Otherwise they have `word_starts`, and masks
            are drawn when they are read, anew in every epoch ("dynamic").
        feature_names: "v2" for tensorflow/models' names, "v1" for google-research/bert's (`input_ids`,
            `segment_ids`).
        max_sequences_per_row: Q, the most sequences that are packed behind one another in an example; 0 if examples
            are not packed.

    Raises:
        ConfigError: if S, P or Q is out of range.
    """

    max_seq_length: int
    max_predictions_per_seq: int
    next_sentence: bool = True
    masked: bool = True
    feature_names: str = "v2"
    max_sequences_per_row: int = 0

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
        if self.max_sequences_per_row < 0:
            raise ConfigError("max_sequences_per_row must be at least 0", received=self.max_sequences_per_row)

    @property
    def packed(self) -> bool:
        """Whether examples are rows of several sequences."""
        return self.max_sequences_per_row > 0

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features under their stored names, in the order of docs/records.md."""
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
                # 1 where a token begins a word, 0 where it continues one, and at special tokens and padding.
                Feature("word_starts", "int64", seq),
            ]
        sequences = self.max_sequences_per_row
        if self.packed:
            # 1, 2, ... at the tokens of a row's first, second, ... sequence, 0 at padding.
            features.append(Feature("input_sequence_ids", "int64", seq))
        if self.packed and self.next_sentence:
            features += [
                # Where each sequence's [CLS] is.
                Feature("next_sentence_positions", "int64", sequences),
                Feature("next_sentence_labels", "int64", sequences),
                Feature("next_sentence_weights", "float32", sequences),
            ]
        elif self.next_sentence:
            features.append(Feature("next_sentence_labels", "int64", 1))
        if self.feature_names == "v1":
            features = [Feature(_V1_NAMES.get(f.name, f.name), f.dtype, f.length) for f in features]
        return tuple(features)

    def stored_name(self, name: str) -> str:
        """Returns the key under which the feature with the v2 name `name` is stored."""
        return _V1_NAMES.get(name, name) if self.feature_names == "v1" else name


def encode_tfrecords(spec: RecordSpec, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Encodes a block of examples as TFRecords.

    Args:
        spec: the examples' shape.
        columns: by v2 feature name, integers or floats of shape `[examples, length]`; integers in [0, 2**31).

    Returns:
        `(records, row_splits)`: the bytes of the framed records, uint8, and int64 offsets `[examples + 1]`. Record
        i's `tf.train.Example` is `records[row_splits[i] + 12 : row_splits[i + 1] - 4]` and equals
        `tf.train.Example(...).SerializeToString(deterministic=True)`.
    """
    # Numba is imported only for encoding, not for the shape of a record.
    from pipeline.records.kernels import CRC_TABLES, encode_rows

    examples = len(columns["input_word_ids"])
    features = _by_key(spec, columns)
    data = [_as_written(feature, values) for feature, values in features]
    is_wide = np.array([values.dtype == np.int32 for values in data], np.uint8)
    widths, ends = np.array([values.shape[1] for values in data]), np.zeros(len(data), np.int64)
    for kind in (0, 1):
        ends[is_wide == kind] = np.cumsum(widths[is_wide == kind])
    keys = [feature.name.encode() for feature, _ in features]
    layout = (
        *(is_wide, ends - widths, ends),
        np.frombuffer(b"".join(_LIST_TAGS[feature.dtype] for feature, _ in features), np.uint8),
        np.frombuffer(b"".join(keys), np.uint8),
        np.cumsum([0, *map(len, keys)]),
    )
    # A varint of 31 bits takes up to 5 bytes; pages that are never written take no memory.
    room = int((widths * np.where(is_wide, 5, 1)).sum() + sum(map(len, keys)) + 32 * len(keys) + 64)
    out, row_splits = np.empty(examples * room, np.uint8), np.zeros(examples + 1, np.int64)
    place = 0
    for start in range(0, examples, _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, examples))
        wide, narrow = (
            np.concatenate([np.zeros((examples, 0), dtype)[rows], *(v[rows] for v in data if v.dtype == dtype)], axis=1)
            for dtype in (np.int32, np.uint8)
        )
        place = encode_rows(wide, narrow, *layout, CRC_TABLES, place, out, row_splits[start : rows.stop + 1])
    return out[:place], row_splits


def _as_written(feature: Feature, values: np.ndarray) -> np.ndarray:
    """Converts values to int32, or to uint8 `[examples, bytes]` if they can be written byte by byte."""
    if feature.dtype == "float32":
        return np.ascontiguousarray(values, "<f4").view(np.uint8)
    return values.astype(np.uint8 if values.max(initial=0) < 128 else np.int32, copy=False)


def _by_key(spec: RecordSpec, columns: Mapping[str, np.ndarray]) -> list[tuple[Feature, np.ndarray]]:
    """Returns the features with their values, sorted by key, as deterministic serialisation writes a map.

    Raises:
        ValueError: if the columns do not match the spec.
    """
    values_of = {spec.stored_name(name): values for name, values in columns.items()}
    features = sorted(spec.features, key=lambda feature: feature.name)
    if sorted(values_of) != [feature.name for feature in features]:
        raise ValueError(f"Columns {sorted(values_of)} are not the features {[feature.name for feature in features]}.")
    examples = len(columns["input_word_ids"])
    for feature in features:
        shape = values_of[feature.name].shape
        if shape != (examples, feature.length):
            raise ValueError(f"{feature.name} must have shape {(examples, feature.length)}, not {shape}.")
    return [(feature, values_of[feature.name]) for feature in features]
