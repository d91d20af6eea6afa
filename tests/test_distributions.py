"""What a release holds: the sdist, the wheel, and what its metadata say."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def files_of_git(*folders: str) -> set[str]:
    command = ["git", "ls-files", "-z", *folders]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in names.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (wheel,) = distributions.glob("*.whl")
    return wheel


def test_the_sdist_is_the_whole_checkout(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert files_of_git() - held == set()


def test_the_wheel_holds_the_package_and_what_belongs_to_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    vocabulary = {"vocab/sample-uncased-8k.txt", "vocab/sample-uncased-8k.txt.json"}
    shipped = {f"pipeline/shipped/{name}" for name in files_of_git("configs") | vocabulary}
    assert held == files_of_git("pipeline") | shipped


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Requires-Python"].replace(" ", "") in (">=3.11,<3.14", "<3.14,>=3.11")
    classifiers = metadata.get_all("Classifier") or []
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(classifiers)
    assert metadata["Author"]
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_command_works_from_any_directory(wheel: Path, tmp_path: Path) -> None:
    """With the wheel alone beside what it requires: it does not see this checkout."""
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    elsewhere.mkdir()

    def run(*command: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(site)}
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    assert "pretrain" in run(str(site / "bin" / "mlm-pipeline"), "--help")
    names = ["configs/corpus-packed.yaml", "vocab/sample-uncased-8k.txt"]
    script = "import sys; from pipeline.shipped import find_shipped; print(*map(find_shipped, sys.argv[1:]), sep='\\n')"
    found = run(sys.executable, "-c", script, *names).splitlines()
    assert found == [str(site / "pipeline" / "shipped" / name) for name in names]
