"""Stopping at the end of a step when the system or the user asks for it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType

_STDERR = 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Notes SIGTERM and SIGINT within a `with` block instead of dying of them.

    Each is answered at once, on standard error, although Python calls handlers only between two calls of TensorFlow,
    and a step may take minutes: the interpreter writes a signal's number into a pipe as it comes, and a thread reads
    it there. A second one ends the process without saving, as SIGKILL would, so that nobody need wait.

    Only the main thread receives signals; elsewhere nothing is noted.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[int, object] = {}
        self._pipe: tuple[int, int] | None = None
        self._previous_pipe = -1

    def __bool__(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            self._previous_pipe = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            self._answers = threading.Thread(target=_answer, args=(self._pipe[0],), daemon=True)
            self._answers.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()
        if self._pipe is not None:
            reads, writes = self._pipe
            signal.set_wakeup_fd(self._previous_pipe)
            os.close(writes)  # The thread sees the end of the pipe.
            self._answers.join()
            os.close(reads)
            self._pipe = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)


def _answer(pipe: int) -> None:
    """Answers the signals whose numbers come through a pipe, until it is closed."""
    came = 0
    while numbers := os.read(pipe, 1):
        number = numbers[0]
        if number not in _SIGNALS:
            continue
        came += 1
        name = signal.Signals(number).name
        if came == 1:
            _tell(
                f"{name}: stopping after the current steps, with a checkpoint (a second signal stops immediately,"
                " without one)"
            )
        else:
            _tell(f"{name}: stopped immediately; the same command continues from the last checkpoint")
            os._exit(128 + number)


def _tell(text: str) -> None:
    # In one call, and past Python's buffers, which the main thread may hold. A progress bar is on the line before.
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"\n{text}\n".encode() if os.isatty(_STDERR) else f"{text}\n".encode())
