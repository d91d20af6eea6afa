import hashlib
import json
from pathlib import Path

import pytest

from pipeline.errors import InputError, OutputError
from pipeline.sample.corpus import DEFAULT_PACKAGES, SampleCorpusSummary, write_sample_corpus

FILES = {
    "apple/__init__.py": '"""An apple is a fruit of the tree.\n\nIt is the one that was in the garden.\n"""',
    "apple/tree.py": '"""This is the tree of them.\n\nAn apple is a fruit of the tree.\n\nIt is as old as I am.\n"""',
    "apple/seed.py": '"""There is just one paragraph in this."""',
    "apple/tests/test_tree.py": '"""The tests are not in the corpus.\n\nNot even in part, as they are code."""',
    "apple/notes.rst": "The notes are of the *best* sort.\n\nThey are in the corpus as well.\n",
}
CORPUS = """\
An apple is a fruit of the tree.
It is the one that was in the garden.

The notes are of the best sort.
They are in the corpus as well.

This is the tree of them.
It is as old as I am.
"""


def install(root: Path, version: str = "1.0", files: dict[str, str] = FILES) -> None:
    """Lays out a package as pip does."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    info = root / "apple.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: apple\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in [*reversed(files), "apple.dist-info/METADATA"]))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "packages"
    install(root)
    monkeypatch.syspath_prepend(str(root))
    return root


def write(path: Path, *packages: str, workers: int = 1) -> SampleCorpusSummary:
    return write_sample_corpus(str(path), packages=packages or ["apple"], workers=workers, progress=False)


def test_documents_paragraphs_and_counts(packages: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "sample.txt"
    summary = write(path)
    assert path.read_text(encoding="utf-8") == CORPUS
    assert summary == SampleCorpusSummary(
        extraction=1,
        versions={"apple": "1.0"},
        documents=3,
        paragraphs=6,
        bytes=len(CORPUS),
        sha256=hashlib.sha256(CORPUS.encode()).hexdigest(),
        dropped={"document of one paragraph": 1, "duplicate paragraph": 1},
    )
    assert json.loads(Path(f"{path}.json").read_text())["versions"] == {"apple": "1.0"}
    assert sorted(file.name for file in path.parent.iterdir()) == ["sample.txt", "sample.txt.json"]


def test_is_written_once(packages: Path, tmp_path: Path) -> None:
    path = tmp_path / "sample.txt"
    first = write(path)
    written = path.stat().st_mtime_ns
    assert write(path) == first
    assert path.stat().st_mtime_ns == written


def test_is_written_anew_when_anything_changed(packages: Path, tmp_path: Path) -> None:
    path = tmp_path / "sample.txt"
    write(path)
    path.write_text("Something else is in it now.\n")
    write(path)
    assert path.read_text() == CORPUS
    Path(f"{path}.json").write_text("{")
    write(path)
    assert json.loads(Path(f"{path}.json").read_text())["documents"] == 3
    install(
        packages, version="2.0", files={**FILES, "apple/notes.rst": "The notes were all lost.\n\nAnd so was this.\n"}
    )
    assert write(path).versions == {"apple": "2.0"}
    assert path.read_text() != CORPUS


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    one = write(tmp_path / "one.txt", "packaging", "tqdm", workers=1)
    two = write(tmp_path / "two.txt", "packaging", "tqdm", workers=2)
    assert (tmp_path / "one.txt").read_bytes() == (tmp_path / "two.txt").read_bytes()
    assert one == two
    assert one.documents > 20
    assert one.bytes > 50_000


def test_the_order_of_packages_is_that_of_the_documents(packages: Path, tmp_path: Path) -> None:
    write(tmp_path / "sample.txt", "apple", "packaging")
    assert (tmp_path / "sample.txt").read_text(encoding="utf-8").startswith(CORPUS + "\n")
    write(tmp_path / "sample.txt", "packaging", "apple")
    assert (tmp_path / "sample.txt").read_text(encoding="utf-8").endswith("\n" + CORPUS)


def test_packages_that_are_not_installed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"installed packages\. Received: no-such-package\."):
        write(tmp_path / "sample.txt", "tqdm", "no-such-package")
    assert list(tmp_path.iterdir()) == []


def test_packages_without_prose(packages: Path, tmp_path: Path) -> None:
    install(packages, files={"apple/__init__.py": "x = 1\n"})
    with pytest.raises(InputError, match="English"):
        write(tmp_path / "sample.txt")
    assert not (tmp_path / "sample.txt").exists()


def test_a_path_that_cannot_be_written(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write(tmp_path / "file" / "sample.txt")


def test_default_packages_are_distinct() -> None:
    assert len(set(DEFAULT_PACKAGES)) == len(DEFAULT_PACKAGES)
