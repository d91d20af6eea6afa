"""Folders that are there complete or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from pipeline import files
from pipeline.errors import ConfigError, OutputError


@contextlib.contextmanager
def new_folder(path: str) -> Iterator[str]:
    """A folder to fill, which gets its final name in the end, or is removed if anything fails.

    Args:
        path: its final name, on a local disk: not there yet, or an empty folder.

    Yields:
        Its temporary name.

    Raises:
        ConfigError: if it is not local.
        OutputError: if something is there already, or it cannot be written.
    """
    if files.is_remote(path):
        raise ConfigError(
            "An export must go to a local directory", received=path, do="Export first, then copy it there"
        )
    path = os.path.abspath(path)
    if os.path.exists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise OutputError(f"{path} must not be there yet, or be an empty directory", do="Choose another directory")
    temporary = files.temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)  # What an attempt that was killed left.
    files.make_directory(temporary)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise OutputError(
                f"Cannot write {path}", received=error.strerror, do="Check the space, and run again"
            ) from error
        raise
