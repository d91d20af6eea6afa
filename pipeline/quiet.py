"""Keeping native libraries and worker processes from writing over what the user reads."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from typing import IO

from pipeline.standard_output import forgiving

_STDERR = 2  # What native code and child processes write to, wherever `sys.stderr` leads.


@contextlib.contextmanager
def native_stderr_to(log: IO[bytes]) -> Iterator[None]:
    """Sends what is written to the file descriptor of standard error to `log`; `sys.stderr` still reaches the user.

    TensorFlow's start-up notes and the log of Beam's worker processes, which inherit the descriptor, are of use only
    when something fails. So are the tracebacks of threads, such as those of Beam's that lose their worker.

    Args:
        log: an open file with a descriptor.
    """
    try:
        before = os.dup(_STDERR)
    except OSError:  # It is closed: nobody reads what is written there.
        yield
        return
    python_stderr = sys.stderr
    if _descriptor(python_stderr) == _STDERR:
        python_stderr.flush()
        sys.stderr = forgiving(os.fdopen(os.dup(before), "w", encoding=python_stderr.encoding, buffering=1))
    os.dup2(log.fileno(), _STDERR)
    excepthook, threading.excepthook = threading.excepthook, _write_natively
    try:
        yield
    finally:
        threading.excepthook = excepthook
        sys.stderr.flush()  # Not closed: a logger that was made meanwhile may hold on to it.
        sys.stderr = python_stderr
        os.dup2(before, _STDERR)
        os.close(before)


def _write_natively(error: threading.ExceptHookArgs) -> None:
    lines = traceback.format_exception(error.exc_type, error.exc_value, error.exc_traceback)
    with contextlib.suppress(OSError):
        os.write(_STDERR, "".join(lines).encode(errors="replace"))


def _descriptor(stream: IO[str]) -> int | None:
    """A stream's file descriptor; None if it has none, in a notebook say."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def start_tensorflow() -> None:
    """Imports TensorFlow and lets it look for its devices, without what it writes meanwhile, unless that fails.

    Its notes (drivers that it looked for, instructions that it could use) bury what the user waits for.
    """
    if "tensorflow" in sys.modules:
        return
    with tempfile.TemporaryFile() as log:
        try:
            with native_stderr_to(log):
                import tensorflow as tf

                tf.config.list_physical_devices()
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
