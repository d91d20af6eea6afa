"""TFRecords of a block of examples, in numpy passes alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from oracles.wire import Part, assemble, constant, total_lengths, varints
from pipeline.records.spec import _LIST_TAGS, Feature, RecordSpec, _by_key
from pipeline.records.tfrecord import FOOTER_BYTES, HEADER_BYTES, masked_crc


def encode_tfrecords_in_numpy(spec: RecordSpec, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What `pipeline.records.spec.encode_tfrecords` gives."""
    examples = len(columns["input_word_ids"])
    parts = [part for feature, values in _by_key(spec, columns) for part in _feature_entry(feature, values)]
    frame = [constant(b"\x00" * HEADER_BYTES), constant(b"\x0a"), varints(total_lengths(parts))]
    frame += [*parts, constant(b"\x00" * FOOTER_BYTES)]
    records, row_splits = assemble(frame, examples)
    for start, end in itertools.pairwise(row_splits.tolist()):
        length = (end - start - HEADER_BYTES - FOOTER_BYTES).to_bytes(8, "little")
        records[start : start + HEADER_BYTES] = np.frombuffer(length + masked_crc(length), np.uint8)
        data = records[start + HEADER_BYTES : end - FOOTER_BYTES].tobytes()
        records[end - FOOTER_BYTES : end] = np.frombuffer(masked_crc(data), np.uint8)
    return records, row_splits


def _feature_entry(feature: Feature, values: np.ndarray) -> list[Part]:
    """The parts of one entry of the map `Features.feature`."""
    is_float = feature.dtype == "float32"
    packed = Part(np.ascontiguousarray(values, "<f4").view(np.uint8)) if is_float else varints(values)
    key = feature.name.encode()
    parts = [packed]
    # From the inside out: the packed values, the list, the Feature, the map's entry.
    for prefix in (b"\x0a", _LIST_TAGS[feature.dtype], b"\x0a" + bytes([len(key)]) + key + b"\x12"):
        parts = [constant(prefix), varints(total_lengths(parts)), *parts]
    return [constant(b"\x0a"), varints(total_lengths(parts)), *parts]
