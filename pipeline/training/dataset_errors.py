"""Datasets that can find the record that caused an error: TensorFlow's own errors name none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from pipeline.errors import CorpusError

Check = Callable[[], None]  # Reads the records again; raises an error that names the first that is at fault.


def remember_check(batches: Any, check: Check | None) -> Any:
    """Notes on a dataset how its records are checked, for `records_error`; returns the dataset."""
    batches.record_check = check
    return batches


def record_check(batches: Any) -> Check | None:
    """What was noted on a dataset, or on one that it was made of; None if nothing was."""
    found: Check | None = getattr(batches, "record_check", None)
    if found is None and isinstance(batches, tf.data.Dataset):
        found = next(filter(None, map(record_check, batches._inputs())), None)
    return found


def records_error(batches: Any, error: Exception) -> CorpusError:
    """What to raise when TensorFlow cannot read a dataset: an error that names the record, if one can be found.

    Args:
        batches: the dataset, or what distributes it.
        error: TensorFlow's own error.
    """
    try:
        with naming_records(batches):
            raise error
    except CorpusError as named:
        return named
    except type(error):
        what = getattr(error, "message", "bytes that cannot be displayed")
        return CorpusError(
            "A record cannot be read",
            received=" ".join(str(what).split())[:300],
            do="Compare the shards with their SHA-256 in the manifest, and copy or make them again",
        )


@contextlib.contextmanager
def naming_records(*values: Any) -> Iterator[None]:
    """Turns an error of TensorFlow's into one that names the record, if it is one of a dataset among `values`."""
    try:
        yield
    except (tf.errors.OpError, UnicodeDecodeError):
        for check in filter(None, map(record_check, values)):
            check()
        raise
