from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.tree import read_yaml
from pipeline.shipped import find_shipped

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["configs/corpus-packed.yaml", "vocab/sample-uncased-8k.txt"])
def test_the_projects_own_files_are_found_from_anywhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(find_shipped(name)) == ROOT / name
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("My own.")
    assert find_shipped(name) == name


@pytest.mark.parametrize("name", ["configs/none.yaml", "configs", "vocab/", "setup.cfg", "", "gs://configs/a.yaml"])
def test_other_paths_stay_as_they_are(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_shipped(name) == name


def test_configurations_are_read_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_yaml("configs/corpus-packed.yaml")["packing"] == "best-fit"
