"""Files, local or with the scheme of a store (gs://, s3://, az://, hdfs://, https://, hf://).

Local paths use only the operating system. `pipeline.stores` serves paths with a scheme.
"""

from __future__ import annotations

import contextlib
import glob as local_glob
import hashlib
import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any

from pipeline.errors import InputError, OutputError
from pipeline.stores import Store, asking_about, modified
from pipeline.stores import checksum as stored_checksum

_SYNCED_AT_ONCE = 1 << 24  # Bytes.
_OWN_STREAM = re.compile("/dev/(stdin|fd/)|/proc/")  # Names of what a process has open, which others do not have.
_TEMPORARY = re.compile(r"\.(.+?)(\.[0-9a-f]{8})?\.tmp")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file.

    Attributes:
        path: where it is.
        bytes: its size.
        modified: when it was last written, according to its file system; "" if that does not say.
    """

    path: str
    bytes: int
    modified: str = field(default="", compare=False)


def is_remote(path: str) -> bool:
    """Whether `path` names a file system by a scheme, such as gs://."""
    return "://" in path


def join(directory: str, *names: str) -> str:
    """Joins path segments on whatever file system `directory` is; a last segment that is a whole path is returned."""
    if names and (is_remote(names[-1]) or os.path.isabs(names[-1])):
        return names[-1]
    if is_remote(directory):
        return "/".join([directory.rstrip("/"), *names])
    return os.path.join(directory, *names)


def exists(path: str) -> bool:
    """Whether there is a file at `path`.

    Raises:
        InputError: if this cannot be determined, for example without permission.
    """
    with _asking_about(path):
        if is_remote(path):
            return Store(path).info() is not None
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)
            return True
    return False


@contextlib.contextmanager
def _asking_about(path: str) -> Iterator[None]:
    if is_remote(path):
        with asking_about(path):
            yield
        return
    try:
        yield
    except OSError as error:
        raise InputError(
            f"Cannot access {path}", received=_reason(error), do="Check the path and the permissions"
        ) from error


def same(first: str, second: str) -> bool:
    """Whether two paths name the same file, also through links."""
    if is_remote(first) or is_remote(second):
        return first == second
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.abspath(first) == os.path.abspath(second)


def short_names(directories: Sequence[str]) -> tuple[str, ...]:
    """Returns the shortest ends of paths that tell them apart."""
    parts = [directory.rstrip("/").split("/") for directory in directories]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return tuple(names)


def match(patterns: Sequence[str]) -> list[FileInfo]:
    """Lists the files that globs, directories and paths name, each file once, sorted by path.

    A directory means all files below it, except that names beginning with "." or "_" are skipped, as Beam, Spark and
    Hadoop do.

    Raises:
        InputError: if a pattern names no file, or a pipe.
    """
    found: dict[str, FileInfo] = {}
    for pattern in patterns:
        matches = list(_match_remote(pattern) if is_remote(pattern) else _match_local(pattern))
        if not matches:
            if pattern == "-":
                raise _not_a_file("standard input")
            raise InputError(
                "Each input must name at least one file",
                received=repr(pattern),
                do="Check the path; quote globs so that the shell does not expand them",
            )
        for info in matches:
            found.setdefault(info.path if is_remote(info.path) else os.path.abspath(info.path), info)
    return sorted(found.values(), key=lambda info: info.path)


def local_info(path: str) -> FileInfo:
    """Returns the path, size and time of a local file.

    Raises:
        OSError: if it does not exist.
    """
    status = os.stat(path)
    return FileInfo(path, status.st_size, str(status.st_mtime_ns))


def _match_local(pattern: str) -> Iterator[FileInfo]:
    # A file of exactly this name, such as "[a].txt" or "*.txt", counts in addition to what the pattern matches.
    paths = [pattern] if os.path.lexists(pattern) else []
    if local_glob.escape(pattern) != pattern:
        paths += [path for path in local_glob.glob(pattern, recursive=True) if path not in paths]
    try:
        for path in paths:
            for file in _files_below(path) if os.path.isdir(path) else [path]:
                info = local_info(file)
                if _OWN_STREAM.match(os.path.abspath(file)) or not (info.bytes or stat.S_ISREG(os.stat(file).st_mode)):
                    raise _not_a_file(file)
                yield info
    except OSError as error:
        raise InputError(
            f"Cannot list {pattern}", received=str(error), do="Fix this, or list the files explicitly"
        ) from error


def _not_a_file(what: str) -> InputError:
    return InputError(
        "Each input must be a file, which several processes can read from any byte, and again after an interruption",
        received=what,
        do="Write it to a file first, such as ... > texts.txt; compressed files need not be unpacked",
    )


def _files_below(directory: str) -> Iterator[str]:
    def fail(error: OSError) -> None:  # By default, directories that cannot be listed are silently skipped.
        raise error

    for folder, folders, names in os.walk(directory, onerror=fail):
        folders[:] = filter(_is_visible, folders)
        yield from (os.path.join(folder, name) for name in names if _is_visible(name))


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "_"))


def _match_remote(pattern: str) -> Iterator[FileInfo]:
    folder = pattern.rstrip("/") + "/"
    with _asking_about(pattern):
        store = Store(pattern)
        found: dict[str, dict[str, Any]] = {}
        if pattern != folder:
            named = store.info()
            found = {pattern: named} if named and named["type"] == "file" else store.glob()
        if not found:
            below = store.list_below()
            found = {path: i for path, i in below.items() if all(map(_is_visible, path[len(folder) :].split("/")))}
        for path, described in found.items():
            yield _remote_info(path, described)


def _remote_info(path: str, described: Mapping[str, Any]) -> FileInfo:
    if described.get("size") is None:  # Web servers' listings do not have it.
        described = Store(path).info() or {}
    if described.get("size") is None:
        raise InputError(
            "The size of a file must be known, since it is read in parts",
            received=f"{path}, whose server does not report it",
            do="Download the file first",
        )
    return FileInfo(path, int(described["size"]), modified(described))


def info(path: str) -> FileInfo:
    """Returns the path, size and time of a file.

    Raises:
        OSError: if it does not exist.
        InputError: if its store does not answer.
    """
    if not is_remote(path):
        return local_info(path)
    with _asking_about(path):
        found = Store(path).info()
    if not found:
        raise FileNotFoundError(path)
    return _remote_info(path, found)


def checksum(path: str) -> str:
    """Returns the checksum that a store keeps of a file's bytes; "" if it keeps none, and for local files.

    Raises:
        InputError: if its store does not answer.
    """
    if not is_remote(path):
        return ""
    with _asking_about(path):
        return stored_checksum(Store(path).info() or {})


def infos(directory: str) -> dict[str, FileInfo]:
    """Returns the `FileInfo` of each file directly in `directory`, by name; empty if there is no such directory."""
    if is_remote(directory):
        return {_name(path): _remote_info(path, described) for path, described in _list_remote(directory).items()}
    found = {}
    for name in list_names(directory):
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):  # It may have disappeared since it was listed.
            if not os.path.isdir(path):
                found[name] = local_info(path)
    return found


@contextlib.contextmanager
def open_read(path: str, start: int = 0) -> Iterator[IO[bytes]]:
    """Opens a file's raw bytes, at byte `start`.

    Raises:
        InputError: if it cannot be opened or read.
    """
    try:
        with _open(path) as stream:
            if start:
                stream.seek(start)
            yield stream
    except OSError as error:
        raise InputError(f"Cannot read {path}", received=_reason(error)) from error


@contextlib.contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    if not is_remote(path):
        with open(path, "rb") as stream:
            yield stream
        return
    with _asking_about(path):
        try:
            remote = Store(path).open()
        except FileNotFoundError as error:
            raise InputError(f"Cannot read {path}", received="no such file") from error
    with remote:
        yield remote


def read(path: str) -> bytes:
    """Reads a whole file.

    Raises:
        InputError: if it cannot be read.
    """
    with open_read(path) as stream:
        return stream.read()


def read_range(path: str, start: int, length: int) -> bytes:
    """Reads a range of a file's bytes; fewer where it ends.

    Raises:
        InputError: if it cannot be read.
    """
    if is_remote(path):
        with _asking_about(path):
            return Store(path).read_range(start, start + length)
    with open_read(path, start) as stream:
        return stream.read(length)


class AtomicWriter:
    """Writes a file under a temporary name, and counts and hashes its bytes.

    Use `write_file`, which renames it to its final name at the end, or leaves nothing.
    """

    def __init__(self, stream: Any, path: str) -> None:
        self._stream = stream
        self._path = path
        self._hash = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Appends `data`.

        Raises:
            OutputError: if it cannot be written.
        """
        try:
            self._stream.write(data)
        except OSError as error:  # Raised here, to name the right file if several are written at a time.
            raise _cannot_write(self._path, error) from error
        self._hash.update(data)
        self.bytes += len(data)


@contextlib.contextmanager
def write_file(path: str, before_naming: Callable[[], None] | None = None) -> Iterator[AtomicWriter]:
    """Writes `path` completely or not at all: under a temporary name in the same directory, then renamed.

    Each attempt has its own temporary name: a cluster that believes a worker dead gives its work to a second one, and
    both then write the same bytes. `remove_temporary` removes what a killed attempt leaves.

    Args:
        path: the file.
        before_naming: called when the file is complete; if it raises, no file is left.

    Raises:
        OutputError: if it cannot be written.
    """
    before_naming = before_naming or (lambda: None)
    temporary = temporary_name(path, uuid.uuid4().hex[:8])
    try:
        if is_remote(path):
            with Store(path).create(temporary.rpartition("/")[2], before_naming) as stream:
                yield AtomicWriter(stream, path)
        else:
            with _open_durably(temporary) as stream:
                yield AtomicWriter(stream, path)
            before_naming()
            os.replace(temporary, path)
    except BaseException as error:
        if not is_remote(path):
            with contextlib.suppress(OSError):  # If nothing could be written, there may be nothing to remove.
                remove(temporary)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


class _DurableFile:
    """A file that is synced to disk while more is written, so that little is left to sync at the end."""

    def __init__(self, path: str) -> None:
        self._stream = open(path, "wb")
        self._waiting = 0
        self._pool: ThreadPoolExecutor | None = None
        self._sync: Future[None] | None = None

    def write(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self._waiting += len(data)
        if self._waiting >= _SYNCED_AT_ONCE and (self._sync is None or self._sync.done()):
            if self._sync:
                self._sync.result()  # Raises the error of the last sync, if any.
            self._pool = self._pool or ThreadPoolExecutor(1)
            self._stream.flush()
            self._sync = self._pool.submit(os.fsync, self._stream.fileno())
            self._waiting = 0

    def finish(self) -> None:
        """Waits until everything is on disk."""
        if self._sync:
            self._sync.result()
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
        # Unflushed bytes are of no use now, and an error in writing them would hide the original one.
        with contextlib.suppress(OSError):
            self._stream.close()


@contextlib.contextmanager
def _open_durably(path: str) -> Iterator[_DurableFile]:
    file = _DurableFile(path)
    try:
        yield file
        file.finish()
    finally:
        file.close()


def _cannot_write(path: str, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot write {path}",
        received=_reason(error),
        do="No partial file was left. Check the free space and the permissions, then run again",
    )


def temporary_name(path: str, attempt: str = "") -> str:
    """Returns a hidden name in the same directory, for a file that becomes `path` when it is complete."""
    head, _, tail = path.rpartition("/")
    name = f".{tail}.{attempt}.tmp" if attempt else f".{tail}.tmp"
    return f"{head}/{name}" if head or path.startswith("/") else name


def list_temporary(directory: str, names: Iterable[str] | None = None) -> list[str]:
    """Lists the temporary files left by attempts to write the files `names` (default: any) of `directory`."""
    names = None if names is None else set(names)
    found = [(name, _TEMPORARY.fullmatch(name)) for name in list_names(directory)]
    return [name for name, written in found if written and (names is None or written[1] in names)]


def remove_temporary(directory: str, names: Iterable[str] | None = None) -> None:
    """Removes the temporary files left by attempts to write the files `names` (default: any) of `directory`."""
    for name in list_temporary(directory, names):
        remove(join(directory, name))


def json_bytes(value: Any) -> bytes:
    """Formats `value` as indented JSON; file names that are not valid UTF-8 are escaped, and read back unchanged."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def sha256(path: str) -> str:
    """Computes the SHA-256 of a file's bytes, hexadecimal.

    Raises:
        InputError: if it cannot be read.
    """
    digest = hashlib.sha256()
    with open_read(path) as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomically(path: str, data: bytes) -> None:
    """Writes a small file completely, or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    with write_file(path) as writer:
        writer.write(data)


def check_output_file(path: str, is_own: Callable[[str], bool], *, overwrite: bool, beside: Sequence[str] = ()) -> None:
    """Checks, before any work, that a file can be written without replacing one of the user's.

    Args:
        path: the file.
        is_own: returns whether an existing file was written by the same command, which then replaces it.
        overwrite: whether to replace any existing file.
        beside: other files that the command writes with it.

    Raises:
        OutputError: if it is a directory, its directory is not writable, or another program wrote it.
    """
    if not is_remote(path):
        if os.path.isdir(path):
            raise OutputError("The output must be a file", received=f"the directory {path}", do="Name a file in it")
        make_directory(os.path.dirname(path) or ".")
    mine = exists(path) and is_own(path)
    for name in [path, *beside]:
        if overwrite or mine or not exists(name):
            continue
        raise OutputError(
            f"{name} already exists, and was not written by this command",
            do="Choose another output, or replace it with --overwrite",
        )


def is_as_described(path: str) -> bool:
    """Whether a file has the "sha256" in the .json next to it."""
    try:
        return bool(json.loads(read(f"{path}.json"))["sha256"] == sha256(path))
    except (InputError, ValueError, KeyError, TypeError):
        return False


def make_directory(path: str) -> None:
    """Creates a directory and its parents if they do not exist; does nothing on object stores.

    Raises:
        OutputError: if it cannot be created or is not writable.
    """
    if is_remote(path):
        return
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot create the output directory {path}",
            received=_reason(error),
            do="Choose a directory that you may write to",
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise OutputError(
            f"Cannot write to the output directory {path}",
            do="Choose a directory that you may write to",
        )


def list_names(directory: str) -> list[str]:
    """Lists the names of the files directly in `directory`, sorted; empty if there is no such directory.

    Raises:
        InputError: if they cannot be listed.
    """
    if is_remote(directory):
        return sorted(map(_name, _list_remote(directory)))
    with _asking_about(directory), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(os.listdir(directory))
    return []


def _list_remote(directory: str) -> dict[str, dict[str, Any]]:
    with _asking_about(directory):
        return Store(directory).list_directly()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def remove(path: str) -> None:
    """Removes a file or an empty directory, if it exists."""
    if is_remote(path):
        with _asking_about(path):
            Store(path).remove()
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if os.path.isdir(path):
            os.rmdir(path)
        else:
            os.remove(path)


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
