"""The other versions of Python that setup.cfg declares: `make test-pythons`.

Each gets an environment in out/pythons, in which the wheel is installed with the versions of constraints.txt. The first
time, that takes minutes; later runs use it again.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSIONS = re.findall(r"Python :: (3\.\d+)\n", (ROOT / "setup.cfg").read_text())
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "TEST_PYTHONS" not in os.environ, reason="takes minutes for each interpreter: make test-pythons"
    ),
]


def find_python(version: str) -> str | None:
    """An interpreter of a version, on the PATH or of pyenv."""
    by_pyenv = sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python{version}")))
    for path in (shutil.which(f"python{version}"), *by_pyenv):
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return None


def run(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def make_corpus(command: Sequence[str | Path], folder: Path) -> dict[str, str]:
    """Makes a corpus of some English; returns the SHA-256 of each of its shards."""
    text = "The river rose in the night. Nobody came to the old house, e.g. by the bridge: it was “far away”.\n"
    (folder / "text.txt").write_text("".join(text.replace("far", "very " * i + "far") + "\n" for i in range(400)))
    words = "corpus --input text.txt --output corpus --vocab vocab/sample-uncased-8k.txt --max-seq-length 64"
    run([*command, *words.split(), "--config", "configs/corpus-packed.yaml", "--workers", "2"], folder)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("corpus/*.tfrecord")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What this version of Python makes."""
    return make_corpus([sys.executable, "-m", "pipeline"], tmp_path_factory.mktemp("expected"))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("version", [version for version in VERSIONS if version != RUNNING])
def test_a_corpus_and_ten_steps(version: str, distributions: Path, expected: dict[str, str], tmp_path: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version}")
    environment = ROOT / "out" / "pythons" / version
    if not (environment / "bin" / "pip").exists():
        run([python, "-m", "venv", environment], tmp_path)
    (wheel,) = distributions.glob("*.whl")
    pip = [environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--constraint", ROOT / "constraints.txt", wheel], tmp_path)
    run([*pip, "--no-deps", "--force-reinstall", wheel], tmp_path)  # Of the same version, but perhaps of other code.
    command = environment / "bin" / "mlm-pipeline"
    assert make_corpus([command], tmp_path) == expected
    options = "pretrain --corpus corpus --run run --config configs/pretrain-small.yaml --trainer.train-steps 10"
    options += " --trainer.optimizer.warmup-steps 2"
    run([command, *options.split()], tmp_path)
    assert (tmp_path / "run" / "model.keras").is_file()
