"""Keeping native libraries and worker processes from writing over what the user reads."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def native_stderr_to(log: IO[bytes]) -> Iterator[None]:
    """Sends what is written to the file descriptor of standard error to `log`; `sys.stderr` still reaches the user.

    TensorFlow's start-up notes and the log of Beam's worker processes, which inherit the descriptor, are of use only
    when something fails.

    Args:
        log: an open file with a descriptor.
    """
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):  # Standard error is no file here, in a notebook say.
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(descriptor)
    python_stderr = sys.stderr
    sys.stderr = os.fdopen(os.dup(terminal), "w", encoding=python_stderr.encoding, buffering=1)
    os.dup2(log.fileno(), descriptor)
    try:
        yield
    finally:
        sys.stderr.flush()  # Left open: a logger that was made meanwhile may hold on to it.
        sys.stderr = python_stderr
        os.dup2(terminal, descriptor)
        os.close(terminal)


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
