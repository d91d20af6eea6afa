from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.text.config import TextConfig
from pipeline.text.inputs import plan_inputs


def write_split(folder: Path, texts: list[str], files: int = 2) -> None:
    """A split as `datasets.Dataset.save_to_disk` writes it."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{files:05d}.arrow" for i in range(files)]
    for name in [*names, "cache-5f2.arrow"]:
        table = pa.table({"text": texts})
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "f", "_split": folder.name}
    (folder / "state.json").write_text(json.dumps(state, indent=2))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {"text": {"_type": "Value"}}}, indent=2))


def names(folder: Path) -> list[str]:
    plan = plan_inputs(TextConfig(input=(str(folder),)))
    return [str(Path(file.path).relative_to(folder)) for file in plan.files]


def test_of_a_saved_dataset_the_rows_alone_are_read(tmp_path: Path) -> None:
    write_split(tmp_path / "all/train", ["One."])
    write_split(tmp_path / "all/test", ["Two."], files=1)
    (tmp_path / "all/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert names(tmp_path / "all/train") == ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    assert names(tmp_path / "all") == [
        "test/data-00000-of-00001.arrow",
        "train/data-00000-of-00002.arrow",
        "train/data-00001-of-00002.arrow",
    ]


def test_a_file_of_rows_that_is_missing(tmp_path: Path) -> None:
    write_split(tmp_path / "train", ["One."])
    (tmp_path / "train/data-00001-of-00002.arrow").unlink()
    with pytest.raises(InputError, match=r"train lacks data-00001-of-00002\.arrow, which"):
        names(tmp_path)


def test_other_files_of_these_names_are_text(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"text": "One."}\n')
    (tmp_path / "dataset_info.json").write_text('{"text": "One."}\n')
    assert names(tmp_path) == ["dataset_info.json", "state.json"]
    write_split(tmp_path / "train", ["One."])
    (tmp_path / "train/dataset_info.json").unlink()
    (tmp_path / "train/state.json").write_text('{"text": "One."}\n')
    assert "train/cache-5f2.arrow" in names(tmp_path)
