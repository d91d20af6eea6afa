"""Finds the configurations and the sample vocabulary that belong to this project, wherever a command is run."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDERS = ("configs", "vocab")
_PACKAGE = Path(__file__).parent
# In a wheel, they are within the package, where setup.py puts them; in a checkout, beside it.
_PLACES = (_PACKAGE / "shipped", _PACKAGE.parent)


def find_shipped(path: str) -> str:
    """Returns the place of a file such as `configs/pretrain-small.yaml` or `vocab/sample-uncased-8k.txt`.

    Args:
        path: a path. A file of this name in the working directory takes precedence.

    Returns:
        The path of the project's own file of this name; `path` itself if there is none.
    """
    if path.split("/")[0] not in _FOLDERS or os.path.exists(path):
        return path
    return next((str(place / path) for place in _PLACES if (place / path).is_file()), path)
