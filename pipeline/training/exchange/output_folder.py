"""Folders that appear only when they are complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from pipeline import files
from pipeline.errors import ConfigError, OutputError


@contextlib.contextmanager
def new_folder(path: str) -> Iterator[str]:
    """Creates a folder that gets its final name when the `with` block ends, and is removed if the block fails.

    Args:
        path: its final name, on a local disk. It must not exist, or be an empty folder.

    Yields:
        Its temporary name.

    Raises:
        ConfigError: if the path is not local.
        OutputError: if the folder exists and is not empty, or cannot be written.
    """
    if files.is_remote(path):
        raise ConfigError(
            "Models can be exported only to a local directory", received=path, do="Export first, then copy it"
        )
    path = os.path.abspath(path)
    if os.path.exists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise OutputError(f"{path} already exists and is not an empty directory", do="Choose another directory")
    temporary = files.temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)  # Left behind by an attempt that was killed.
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
