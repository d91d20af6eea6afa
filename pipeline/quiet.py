"""Keeps the output of native libraries and worker processes away from the user's terminal."""

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

_STDERR = 2  # Native code and child processes write to this descriptor, wherever `sys.stderr` goes.


@contextlib.contextmanager
def native_stderr_to(log: IO[bytes]) -> Iterator[None]:
    """Redirects the file descriptor of standard error to `log`; `sys.stderr` still reaches the user.

    TensorFlow's start-up notes and the log of Beam's worker processes, which inherit the descriptor, are useful only
    when something fails. So are tracebacks of threads, such as those of Beam that lose their worker.

    Args:
        log: an open file with a descriptor.
    """
    try:
        before = os.dup(_STDERR)
    except OSError:  # It is closed: nobody reads it.
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
        sys.stderr.flush()  # Not closed: a logger created in the body may still refer to it.
        sys.stderr = python_stderr
        os.dup2(before, _STDERR)
        os.close(before)


def _write_natively(error: threading.ExceptHookArgs) -> None:
    lines = traceback.format_exception(error.exc_type, error.exc_value, error.exc_traceback)
    with contextlib.suppress(OSError):
        os.write(_STDERR, "".join(lines).encode(errors="replace"))


def _descriptor(stream: IO[str]) -> int | None:
    """Returns a stream's file descriptor; None if it has none, as in a notebook."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def start_tensorflow() -> None:
    """Imports TensorFlow and finds its devices; what it prints is shown only if that fails.

    Its notes (missing drivers, CPU instructions) would bury the output that the user wants.
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
