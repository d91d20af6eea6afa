"""Locks a folder or a file, so that only one run at a time writes to it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

from pipeline.errors import OutputError
from pipeline.files import is_remote

try:
    import fcntl
except ImportError:  # Not a POSIX system.
    fcntl = None  # type: ignore[assignment]

# Errors of file systems without locks, such as some network file systems.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def locked(path: str, *, owner: str) -> Iterator[None]:
    """Holds the lock file `path` for the duration of a `with` block.

    The kernel releases the lock however the process ends, so a killed run never leaves its folder locked. Nothing is
    locked on object stores, nor on file systems without locks.

    Args:
        path: the lock file, in an existing directory; removed at the end.
        owner: what the lock protects, as named in messages: "the run out/run".

    Raises:
        OutputError: if another process holds the lock, naming it, or the lock file cannot be written.
    """
    if fcntl is None or is_remote(path):
        yield
        return
    try:
        descriptor = _open_locked(path)
    except BlockingIOError:
        raise OutputError(
            f"Another process is using {owner}",
            received=_read_holder(path),
            do="Wait until it has finished, or stop it; then run the same command again",
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OutputError(f"Cannot lock {owner}", received=f"{path}: {error.strerror or error}") from error
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.remove(path)  # Before the lock is released: the next process creates a new file.
        os.close(descriptor)


def _open_locked(path: str) -> int:
    """Opens and locks the file at `path`; raises BlockingIOError if another process holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # The previous holder removed this file after we opened and before we locked it.


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read_holder(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read() or "a process that has just started"
    except OSError:
        return "a process that has just ended"
