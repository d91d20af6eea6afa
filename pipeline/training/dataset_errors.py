"""Datasets that can find the record that caused an error: TensorFlow's own errors name none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from pipeline.errors import CorpusError

Check = Callable[[], None]  # Raises what reading the records raised, if anything.


def remember_check(batches: Any, check: Check | None) -> Any:
    """Attaches the check of its records to a dataset, for `records_error`; returns the dataset."""
    batches.record_check = check
    return batches


def record_check(batches: Any) -> Check | None:
    """Returns the check that is attached to a dataset or to one that it was made from; None if there is none."""
    found: Check | None = getattr(batches, "record_check", None)
    if found is None and isinstance(batches, tf.data.Dataset):
        found = next(filter(None, map(record_check, batches._inputs())), None)
    return found


def records_error(batches: Any, error: Exception) -> CorpusError:
    """Returns the error to raise when TensorFlow cannot read a dataset: one that names the record, if possible.

    Args:
        batches: the dataset, or the distributed dataset.
        error: TensorFlow's own error.

    Raises:
        InputError: if a file cannot be read.
        Exception: `error`, or the exception behind it, if the dataset has a check that finds no fault in the records.
    """
    try:
        with naming_records(batches):
            raise error
    except CorpusError as named:
        return named
    except type(error):
        if record_check(batches) is not None:
            raise
        what = getattr(error, "message", "bytes that cannot be displayed")
        return CorpusError(
            "A record cannot be read",
            received=" ".join(str(what).split())[:300],
            do="Compare the shards with their SHA-256 in the manifest, and copy or make them again",
        )


@contextlib.contextmanager
def naming_records(*values: Any) -> Iterator[None]:
    """Converts an error of TensorFlow to one that names the record, if reading a dataset among `values` caused it."""
    try:
        yield
    except (tf.errors.OpError, UnicodeDecodeError):
        for check in filter(None, map(record_check, values)):
            check()
        raise
