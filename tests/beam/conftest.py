"""Corpora, made by the real job on Beam's local runner."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.make import make_corpus
from pipeline.manifest import Manifest

Options = Callable[..., CorpusConfig]

ROOT = Path(__file__).parents[2]
# A small process between the tests and the command: the kernel counts what a process held when it started another one
# as the other one's, and the tests hold TensorFlow.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(f"\\n{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024}")
sys.exit(code)
"""


class Measured(NamedTuple):
    """What came of a command, and the most memory that one of its processes held, in bytes."""

    code: int
    output: str
    errors: str
    peak_bytes: int


def _options(**values: Any) -> CorpusConfig:
    defaults: dict[str, Any] = {
        "max_seq_length": 48,
        "max_predictions_per_seq": 8,
        "dupe_factor": 2,
        "validation_fraction": 0.2,
        "block_bytes": 6000,
    }
    return CorpusConfig(**defaults | values)


@pytest.fixture
def options(text_files: str, vocabulary_path: str, tmp_path: Path) -> Options:
    """Makes the options of a small corpus of several blocks."""

    def make(**values: Any) -> CorpusConfig:
        places = {"input": (text_files,), "output": str(tmp_path / "corpus"), "vocab": vocabulary_path}
        return _options(**places | values)

    return make


@pytest.fixture(scope="session")
def clean(
    tmp_path_factory: pytest.TempPathFactory, write_texts: Callable[[Path], str], vocabulary_path: str
) -> tuple[Path, Manifest]:
    """That corpus, made without a disturbance, to compare with; to be left as it is."""
    folder = tmp_path_factory.mktemp("clean")
    texts = write_texts(folder / "texts")
    config = _options(input=(texts,), output=str(folder / "corpus"), vocab=vocabulary_path)
    return folder / "corpus", make_corpus(config, show_progress=False)


@pytest.fixture
def make(options: Options) -> Callable[..., Manifest]:
    """Makes a small corpus with other options than those by default."""

    def run(**values: Any) -> Manifest:
        job = {name: values.pop(name) for name in ("workers", "overwrite", "beam_args") if name in values}
        return make_corpus(options(**values), show_progress=False, **job)

    return run


@pytest.fixture(scope="session")
def measure() -> Callable[[Sequence[str]], Measured]:
    """Runs a command, and watches its memory."""

    def run(command: Sequence[str]) -> Measured:
        measured = [sys.executable, "-c", _MEASURED, *command]
        done = subprocess.run(measured, cwd=ROOT, capture_output=True, text=True, check=False)
        output, _, peak = done.stdout.rstrip().rpartition("\n")
        return Measured(done.returncode, output, done.stderr, int(peak))

    return run


@pytest.fixture(scope="session")
def contents() -> Callable[[str | Path], dict[str, str]]:
    """Tells a directory's files, hidden ones too, and the SHA-256 of each."""

    def read(directory: str | Path) -> dict[str, str]:
        return {
            str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(Path(directory).rglob("*"))
            if path.is_file()
        }

    return read
