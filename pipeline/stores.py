"""Accesses files with a scheme (gs://, s3://, az://, hdfs://, https://, hf://, memory://) through fsspec.

fsspec is imported when the first such path is used. The file system is looked up for each path: fsspec keeps one
instance per process, and creates new ones after a fork.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pipeline.errors import ConfigError, InputError

ResultT = TypeVar("ResultT")

# For each scheme: the extra of this package that installs its file system, and where it looks for credentials.
_STORES = {
    **dict.fromkeys(
        ("gs", "gcs"), ("gcp", "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS")
    ),
    **dict.fromkeys(
        ("s3", "s3a"), ("aws", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `aws configure`; AWS_ENDPOINT_URL")
    ),
    **dict.fromkeys(
        ("az", "abfs", "abfss"), ("azure", "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or `az login`")
    ),
    **dict.fromkeys(("http", "https"), ("http", "")),  # No credentials.
    "hf": ("hub", "HF_TOKEN, or `hf auth login`"),
    "hdfs": ("", "HADOOP_HOME and CLASSPATH, for libhdfs"),
}
_COMMITTING = ("gs", "gcs", "s3", "s3a")  # A file becomes visible when it is committed.
_ATTEMPTS = 4  # Three repetitions, after 1, 2 and 4 seconds.
_BLOCK = 4 << 20  # Minimum bytes per request.


class Store:
    """The file system of a path.

    Args:
        path: the path, with its scheme.

    Raises:
        ConfigError: if there is no file system for its scheme, or it is not installed.
        InputError: if the file system refuses the path, or lacks credentials.
    """

    def __init__(self, path: str) -> None:
        import fsspec

        scheme = path.partition("://")[0]
        try:
            # Listings must show what other processes have written since.
            system, name = fsspec.core.url_to_fs(path.rstrip("/"), use_listings_cache=False)
        except ValueError as error:
            # fsspec has no class for it. File systems raise it for malformed paths and missing credentials.
            if not str(error).startswith("Protocol not known"):
                raise _no_access(path, error) from error
            raise ConfigError(
                "The path has an unknown scheme", received=path, do=f"Use one of {', '.join(_STORES)}, or a local path"
            ) from error
        except (ImportError, OSError) as error:  # libhdfs raises an OSError.
            extra = _STORES.get(scheme, ("", ""))[0]
            raise ConfigError(
                f"{scheme}:// needs a package that is not installed",
                received=f"{path}: {error}",
                do=f"pip install 'mlm-pipeline[{extra}]'" if extra else "Install what the message names",
            ) from error
        self._system: Any = system
        self._name: str = name
        self._commits = scheme in _COMMITTING
        path = path.rstrip("/")
        self._root = path[: -len(name)] if name and path.endswith(name) else None

    def info(self) -> dict[str, Any] | None:
        """Returns what the store knows about the file or directory; None if it does not exist."""
        with contextlib.suppress(FileNotFoundError):
            return dict(_retried(lambda: self._system.info(self._name)))
        return None

    def list_directly(self) -> dict[str, dict[str, Any]]:
        """Returns the files directly in the directory, by path; empty if it does not exist."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self._files(_retried(lambda: self._system.ls(self._name, detail=True)))
        return {}

    def list_below(self) -> dict[str, dict[str, Any]]:
        """Returns all files below the directory, by path; empty if it does not exist."""
        with contextlib.suppress(FileNotFoundError):
            return self._files(_retried(lambda: self._system.find(self._name, detail=True)).values())
        return {}

    def glob(self) -> dict[str, dict[str, Any]]:
        """Returns the files that match the path as a pattern, by path."""
        with contextlib.suppress(FileNotFoundError):
            return self._files(_retried(lambda: self._system.glob(self._name, detail=True)).values())
        return {}

    def _files(self, infos: Any) -> dict[str, dict[str, Any]]:
        return {self._path(info["name"]): dict(info) for info in infos if info["type"] == "file"}

    def _path(self, name: str) -> str:
        return f"{self._root}{name}" if self._root is not None else str(self._system.unstrip_protocol(name))

    def open(self) -> io.BufferedReader:
        """Opens the file for reading.

        Raises:
            OSError: if it cannot be opened; also raised by reading.
        """
        return io.BufferedReader(_Reader(lambda: self._system.open(self._name, "rb", block_size=_BLOCK)), 1 << 20)

    def read_range(self, start: int, stop: int) -> bytes:
        """Returns the bytes from `start` to `stop`; fewer if the file ends before."""
        if not self._name.startswith("http"):
            return bytes(_retried(lambda: self._system.cat_file(self._name, start=start, end=stop)))
        with self.open() as stream:  # A web server may ignore the range and send the whole file.
            stream.seek(start)
            return stream.read(stop - start)

    @contextlib.contextmanager
    def create(self, temporary_name: str, before_naming: Callable[[], None]) -> Iterator[_Writer]:
        """Opens a file for writing; it gets its name when the `with` block ends, unless the block raises an error.

        Args:
            temporary_name: another name in the same directory, for stores that show incomplete files.
            before_naming: called when the file is complete.

        Raises:
            OSError: if it cannot be written.
        """
        name = self._name
        if not self._commits:
            name = name[: len(name) - len(name.rpartition("/")[2])] + temporary_name
        with _as_os_errors():
            stream = self._system.open(name, "wb", autocommit=not self._commits)
        try:
            yield _Writer(stream)
            with _as_os_errors():
                stream.close()
            before_naming()
            with _as_os_errors():
                if self._commits:
                    stream.commit()
                else:
                    if self._system.exists(self._name):
                        self._system.rm_file(self._name)
                    self._system.mv(name, self._name)
        except BaseException:
            with contextlib.suppress(Exception):  # The first error counts.
                if self._commits:
                    stream.discard()
                    stream.closed = True  # Otherwise, garbage collection would upload the rest.
                else:
                    self._system.rm_file(name)
            raise
        finally:
            self._system.transaction.files.clear()  # It keeps uncommitted files and never uses them.

    def remove(self) -> None:
        """Removes the file, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            _retried(lambda: self._system.rm_file(self._name))


class _Reader(io.RawIOBase):
    """A remote file that is reopened at the same position after a transient error."""

    def __init__(self, opens: Callable[[], Any]) -> None:
        self._opens = opens
        self._stream = _retried(opens)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def tell(self) -> int:
        return int(self._stream.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self._read(_BLOCK), b""))

    def _read(self, size: int) -> bytes:
        position = self.tell()

        def read() -> bytes:
            if self._stream.closed:
                self._stream = self._opens()
                self._stream.seek(position)
            try:
                return bytes(self._stream.read(size))
            except Exception:
                self._stream.close()
                raise

        with _as_os_errors():
            return _retried(read)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Writer:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: bytes | memoryview) -> None:
        with _as_os_errors():
            self._stream.write(data)


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Converts any exception of a store's client to an OSError."""
    try:
        yield
    except OSError:
        raise
    except NotImplementedError as error:
        raise OSError("the store is read-only") from error
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _retried(ask: Callable[[], ResultT]) -> ResultT:
    """Returns the result of `ask`, which is repeated after transient errors of the network or the server."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return ask()
        except Exception as error:
            if not _passes(error):
                raise
        time.sleep(2.0**attempt)
    return ask()


def _passes(error: Exception) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    if type(error).__module__.partition(".")[0] != "aiohttp":
        return False
    status = getattr(error, "status", None)  # None if the connection was lost.
    return status is None or status == 429 or status >= 500


@contextlib.contextmanager
def asking_about(path: str) -> Iterator[None]:
    """Converts the exceptions of file systems, which are those of their clients, to an error that says what to do.

    Raises:
        InputError: if the `with` block raises an exception that is not an error of this project.
    """
    try:
        yield
    except (ConfigError, InputError):
        raise
    except Exception as error:
        raise _no_access(path, error) from error


def _no_access(path: str, error: Exception) -> InputError:
    scheme = path.partition("://")[0]
    where = _STORES.get(scheme, ("", ""))[1]
    return InputError(
        f"Cannot access {path}",
        received=f"{type(error).__name__}: {error}",
        do=f"Check the path and the credentials of {scheme}:// ({where})" if where else "Check the path",
    )


def modified(info: Mapping[str, Any]) -> str:
    """Returns when a file was last written, according to its store; "" if unknown."""
    for name in ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created"):
        if info.get(name):
            return str(info[name])
    return ""


def checksum(info: Mapping[str, Any]) -> str:
    """Returns the checksum of a file according to its store; "" if there is none."""
    for name in ("ETag", "md5Hash", "crc32c", "blob_id"):
        if info.get(name):
            return str(info[name]).strip('"')
    content = info.get("content_settings")  # Azure's.
    return str(content["content_md5"]) if content and content.get("content_md5") else ""
