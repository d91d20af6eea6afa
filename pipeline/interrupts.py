"""Turns SIGINT and SIGTERM into a KeyboardInterrupt."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Turns SIGINT and SIGTERM into a KeyboardInterrupt while the body runs, and records that one arrived.

    By default, SIGTERM ends a process at once: nothing is cleaned up, and no job is cancelled. Only the main thread
    can set handlers; in other threads this does nothing.

    Yields:
        An event that is set once a signal has arrived, as code called in the body may turn the KeyboardInterrupt into
        another error.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
