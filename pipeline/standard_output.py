"""Makes sure that no work is lost if standard output or standard error is closed or full."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from pipeline.errors import OutputError

_ESCAPES = "json_escapes"


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Escapes characters that the output's encoding lacks as JSON does, so that printed JSON stays valid."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)), error.end


codecs.register_error(_ESCAPES, _escape)


def _discard_rest(stream: TextIO) -> None:
    """Discards buffered output, so that flushing it does not fail when the interpreter exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Forgiving:
    """A stream that stores the first error in writing instead of raising it, and discards all later output."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        with self._kept():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._kept():
            self._stream.flush()

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            _discard_rest(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def forgiving(stream: TextIO) -> TextIO:
    """Wraps `stream` so that writing to it never fails."""
    return cast(TextIO, _Forgiving(stream))


@contextlib.contextmanager
def forgiving_output() -> Iterator[None]:
    """Ignores, while the body runs, that standard output cannot be written to.

    Raises:
        OutputError: when the body has ended, if something could not be printed; not if standard output was closed
            from the beginning.
    """
    stream = sys.stdout
    if stream is None:
        with open(os.devnull, "w", encoding="utf-8") as devnull, contextlib.redirect_stdout(devnull):
            yield
        return
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ESCAPES)  # File names, or the terminal, may not be UTF-8.
    output = _Forgiving(stream)
    with contextlib.redirect_stdout(output):
        yield
    output.flush()
    # A reader that closes a pipe, such as `head`, has seen enough.
    if output.error is not None and not isinstance(output.error, BrokenPipeError):
        raise OutputError(
            "Standard output could not be written completely",
            received=output.error.strerror or str(output.error),
            do="Everything else that the command had to do is done",
        )


@contextlib.contextmanager
def forgiving_errors() -> Iterator[None]:
    """Ignores, while the body runs, that standard error cannot be written to.

    This is not reported, as there is no place left to report it. The exit code still shows how the command ended.
    """
    stream = sys.stderr
    if stream is None:  # Closed: otherwise the next file to be opened would get its descriptor.
        stream = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    with contextlib.redirect_stderr(forgiving(stream)):
        yield
