"""Opening TFRecord files for tf.data, on any file system."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from pipeline import files
from pipeline.records.decoding import read_serialized

# What TensorFlow itself opens; everything else is read through Beam's file systems.
_TENSORFLOWS_OWN = ("gs://",)
_RECORDS_AT_A_TIME = 256  # From Python to tf.data: one by one, each would cost tens of microseconds.


def serialized_records(paths: Any, compression: str, *, like: Sequence[str]) -> tf.data.Dataset:
    """The records of files, one file after another.

    Args:
        paths: the files: their names, or one name as a tensor.
        compression: TensorFlow's name of their compression: "GZIP" or "".
        like: file names that represent `paths`, which may not be known yet.

    Returns:
        A dataset of scalar strings. Reading it raises `tf.errors.OpError` where a file cannot be read.
    """
    if not files.is_remote(like[0]) or like[0].startswith(_TENSORFLOWS_OWN):
        return tf.data.TFRecordDataset(paths, compression)
    return tf.data.Dataset.from_tensor_slices(tf.reshape(paths, [-1])).flat_map(_remote_records)


def _remote_records(path: Any) -> tf.data.Dataset:
    signature = tf.TensorSpec([None], tf.string)
    return tf.data.Dataset.from_generator(_pieces, args=(path,), output_signature=signature).unbatch()


def _pieces(path: bytes) -> Iterator[list[bytes]]:
    records = read_serialized(path.decode())
    while piece := list(itertools.islice(records, _RECORDS_AT_A_TIME)):
        yield piece
