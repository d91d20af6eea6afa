"""Garbage collection in a thread of its own, which nothing waits for."""

from __future__ import annotations

import gc
import os
import threading
import time

_INTERVAL = 0.2  # Seconds; what accumulates in between is a small part of what TensorFlow itself holds.
_FULL_SHARE = 0.01  # Of the time that full collections may take, which grow with all that is alive.

_begun = threading.Lock()


def collect_in_own_thread() -> None:
    """Moves automatic garbage collection to a thread of its own, for the rest of the process.

    Python collects in whichever thread happens to allocate. Where that thread serves a dataset, and the garbage holds
    an iterator of the dataset, both wait forever: TensorFlow ends an iterator when its calls of Python have ended, and
    the call waits for the thread that collects. So iterators must not be collected where datasets are read.

    Does nothing where garbage collection is switched off. `gc.enable()` moves it back. A forked process begins with
    Python's own.
    """
    if gc.isenabled() and _begun.acquire(blocking=False):
        gc.disable()
        threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    """Collects what the thresholds of `gc` ask for, until somebody enables Python's own collection."""
    next_full = time.monotonic()
    while not gc.isenabled():
        time.sleep(_INTERVAL)
        due = [bool(most) and count > most for count, most in zip(gc.get_count(), gc.get_threshold(), strict=True)]
        started = time.monotonic()
        if due[2] and started >= next_full:
            gc.collect()
            ended = time.monotonic()
            next_full = ended + (ended - started) / _FULL_SHARE
        elif due[1]:
            gc.collect(1)
        elif due[0]:
            gc.collect(0)
    _begun.release()


def _forked() -> None:
    """The thread is not there in a forked process."""
    if _begun.locked():
        _begun.release()
        gc.enable()


os.register_at_fork(after_in_child=_forked)
