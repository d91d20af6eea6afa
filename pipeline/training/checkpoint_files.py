"""The files of TensorFlow's checkpoints `step-N`, found without TensorFlow."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable

from pipeline import files

_FILE = re.compile(r"step-(\d+)(\.index|\.data-\d+-of-\d+|_temp)")
_UNFINISHED = "_temp"  # The folder that TensorFlow writes in, and removes when the checkpoint is whole.


def complete_steps(directory: str) -> list[int]:
    """The steps whose checkpoints were written to the end, in ascending order; damage since then goes unnoticed.

    A kill leaves TensorFlow's folder behind. Its checkpoint is absent, even where it already has an index: TensorFlow
    writes that under its final name.

    Args:
        directory: the directory of the checkpoints; it need not exist.
    """
    found = _find(directory)
    return sorted({int(match[1]) for match in found} - _unfinished(found))


def remove_checkpoints(directory: str, unwanted: Callable[[int], bool]) -> None:
    """Removes the checkpoints of some steps, and all that a kill has left of unfinished ones.

    Args:
        directory: the directory of the checkpoints.
        unwanted: whether a step is one of them.
    """
    found = _find(directory)
    # The folders last: as long as they are there, their checkpoints are absent.
    for match in sorted(found, key=lambda match: match[2] == _UNFINISHED):
        step = int(match[1])
        if step in _unfinished(found) or unwanted(step):
            with contextlib.suppress(OSError):  # What cannot be removed does no harm.
                path = files.join(directory, match[0])
                shutil.rmtree(path) if match[2] == _UNFINISHED else files.remove(path)


def _find(directory: str) -> list[re.Match[str]]:
    return [match for name in files.list_names(directory) if (match := _FILE.fullmatch(name))]


def _unfinished(found: list[re.Match[str]]) -> set[int]:
    return {int(match[1]) for match in found if match[2] == _UNFINISHED}
