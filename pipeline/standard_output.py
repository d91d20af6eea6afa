"""Standard output and standard error that are closed, full, or fill up: no work is lost by that."""

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
    """What the output's encoding lacks, as JSON writes it: JSON that is printed stays JSON."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)), error.end


codecs.register_error(_ESCAPES, _escape)


def _discard_rest(stream: TextIO) -> None:
    """Sends nowhere what is still to be printed, so that it does not fail at the interpreter's exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Forgiving:
    """A stream that keeps the first error of writing to it instead of raising it, and discards what follows."""

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
    """`stream`, but that writing to it never fails."""
    return cast(TextIO, _Forgiving(stream))


@contextlib.contextmanager
def forgiving_output() -> Iterator[None]:
    """Lets printing continue where standard output cannot be written to, while the body runs.

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
    # Whoever reads from a pipe, `head` say, has seen enough when it closes it.
    if output.error is not None and not isinstance(output.error, BrokenPipeError):
        raise OutputError(
            "Not all could be printed on standard output",
            received=output.error.strerror or str(output.error),
            do="What the command was to do is done, but for that",
        )


@contextlib.contextmanager
def forgiving_errors() -> Iterator[None]:
    """Lets messages and progress continue where standard error cannot be written to.

    Nothing is said of it: there is no place left to say it. The exit code still tells how the command ended.
    """
    stream = sys.stderr
    if stream is None:  # Closed: without this, its descriptor would go to the next file that is opened.
        stream = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    with contextlib.redirect_stderr(forgiving(stream)):
        yield
