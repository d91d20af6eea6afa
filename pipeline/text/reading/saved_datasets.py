"""Finds which files of a Hugging Face dataset written by `save_to_disk` contain its rows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from pipeline import files
from pipeline.errors import InputError
from pipeline.files import FileInfo

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


def without_descriptions(found: Sequence[FileInfo]) -> list[FileInfo]:
    """Leaves out the files of saved datasets that do not contain rows.

    A saved dataset is a folder whose state.json lists Arrow files; a dataset of several splits has a dataset_dict.json
    in the parent folder. The folder may also contain the results of earlier steps (cache-*.arrow).

    Args:
        found: the input files.

    Raises:
        InputError: if a file that a state.json lists is missing.
    """
    folders: dict[str, dict[str, FileInfo]] = defaultdict(dict)
    for info in found:
        folder, _, name = info.path.rpartition("/")
        folders[folder][name] = info
    left_out: set[str] = set()
    for folder, names in folders.items():
        rows = _files_of_rows(names[_STATE].path) if _STATE in names and any(map(_is_arrow, names)) else None
        if rows is None:
            continue
        if missing := rows - names.keys():
            raise InputError(
                f"{folder} lacks {min(missing)}, which its {_STATE} lists",
                do="Save the dataset again, or give the existing .arrow files as input",
            )
        left_out |= {info.path for name, info in names.items() if _is_arrow(name) and name not in rows}
        left_out |= {f"{folder}/{_STATE}", f"{folder}/{_INFO}", f"{folder.rpartition('/')[0]}/{_SPLITS}"}
    return [info for info in found if info.path not in left_out]


def _is_arrow(name: str) -> bool:
    return name.endswith(".arrow")


def _files_of_rows(path: str) -> set[str] | None:
    """Returns the names of the files with a dataset's rows; None if the file is not a dataset's state."""
    try:
        return {str(file["filename"]) for file in json.loads(files.read(path))["_data_files"]}
    except (ValueError, KeyError, TypeError):
        return None
