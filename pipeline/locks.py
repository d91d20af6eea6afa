"""A folder or a file that one run at a time may write to."""

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

# What file systems without locks answer, some network file systems among them.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def locked(path: str, *, owner: str) -> Iterator[None]:
    """Holds the lock file `path` for the length of a `with` block.

    The kernel drops the lock when the process ends, however it ends, so that a killed run never leaves its folder
    locked. Nothing is locked on object stores, nor on file systems that have no locks.

    Args:
        path: the lock file, in a directory that is there; removed at the end.
        owner: what the lock protects, as a message names it: "the run out/run".

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
            f"Another process is at work on {owner}",
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
            os.remove(path)  # Before the lock goes: who opens the file next makes a new one.
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
        os.close(descriptor)  # The holder before removed this file between our opening and locking it.


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read_holder(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read() or "a process that has just begun"
    except OSError:
        return "a process that has just ended"
