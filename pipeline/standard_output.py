"""Standard output that may be closed or full, or fill up, while work goes on: the work is not lost by it."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from pipeline.errors import OutputError

_ESCAPES = "json_escapes"


def _escape(error: UnicodeError) -> tuple[str, int]:
    """What the output's encoding lacks, as JSON writes it: JSON that is printed stays JSON."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)), error.end


codecs.register_error(_ESCAPES, _escape)


def _discard_rest(stream: TextIO) -> None:
    """Sends nowhere what is still to be printed, so that it does not fail at the interpreter's exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Forgiving:
    """A stream that keeps the first error of writing to it instead of raising it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        self._unread = False

    def write(self, text: str) -> int:
        if not self._unread:
            with self._kept():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        if not self._unread:
            with self._kept():
                self._stream.flush()

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # Whoever reads, `head` say, has seen enough. Work that was begun goes on.
            self._unread = True
            _discard_rest(self._stream)
        except OSError as error:
            self.error = self.error or error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def forgiving_output() -> Iterator[None]:
    """Lets what prints go on where standard output cannot be written to, while the body runs.

    Raises:
        OutputError: when the body has ended, if something could not be printed. Nothing is said of an output that was
            closed from the beginning: what would be printed there is of no interest.
    """
    stream = sys.stdout
    if stream is None:
        with open(os.devnull, "w", encoding="utf-8") as devnull, contextlib.redirect_stdout(devnull):
            yield
        return
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ESCAPES)  # Names of files need not be UTF-8, nor the terminal.
    output = _Forgiving(stream)
    with contextlib.redirect_stdout(output):
        yield
    output.flush()
    if output.error is not None:
        _discard_rest(stream)
        raise OutputError(
            "Not all could be printed on standard output",
            received=output.error.strerror or str(output.error),
            do="What the command was to do is done, but for that",
        )
