"""Calls of Python from TensorFlow's threads."""

from __future__ import annotations

import atexit
import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from pipeline.training.data.garbage import collect_in_own_thread

CallableT = TypeVar("CallableT", bound=Callable[..., Any])

_QUIET_SECONDS, _MOST_SECONDS = 0.05, 5.0


class _Calls:
    """How many calls were begun, and how many have ended; counted by threads that hold the interpreter's lock."""

    def __init__(self) -> None:
        self.begun = self.ended = 0

    def wait(self) -> None:
        """Waits until no call is under way, and none has begun for a while."""
        before, end = -1, time.monotonic() + _MOST_SECONDS
        while (before != self.begun or self.begun != self.ended) and time.monotonic() < end:
            before = self.begun
            time.sleep(_QUIET_SECONDS)


_CALLS = _Calls()


def called_by_tensorflow(function: CallableT) -> CallableT:
    """Makes calls of a function safe: none waits for garbage collection, or is under way when the interpreter ends.

    A script may end while a dataset that it still holds reads ahead. A thread of TensorFlow's that then waits for
    the interpreter's lock never gets it, and the end of the dataset waits for the thread: the process would hang. What
    a dataset reads ahead is bounded, so that it comes to rest when nobody takes from it. Calls that begin later find
    the interpreter ended, and fail.
    """
    collect_in_own_thread()

    @functools.wraps(function)
    def counted(*arguments: Any) -> Any:
        _CALLS.begun += 1
        try:
            return function(*arguments)
        finally:
            _CALLS.ended += 1

    return cast(CallableT, counted)


atexit.register(_CALLS.wait)
