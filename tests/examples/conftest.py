"""Runs the examples of other data loaders, in an environment that has them, and neither TensorFlow nor Beam."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles.numbered import KINDS, write_numbered

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_loader(peer_environment: Callable[[str], Path]) -> Callable[..., str]:
    """Runs a Python file with arguments and environment variables; returns its standard output."""
    environment = peer_environment("huggingface")

    def run(path: Path, *arguments: object, **variables: str) -> str:
        variables |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}"}
        # Another version of Numba must not replace the compiled loops of this one.
        variables |= {"NUMBA_CACHE_DIR": str(environment / "numba")}
        command = [str(environment / "bin" / "python"), str(path), *map(str, arguments)]
        done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="session", params=["static", "binned dynamic gzip"])
def numbered_corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A corpus with masks, and one without that has two lengths and is compressed; its directory."""
    directory = tmp_path_factory.mktemp("numbered") / "corpus"
    write_numbered(directory, (700, 333, 5), **KINDS[request.param])
    return str(directory)


@pytest.fixture
def page(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes the code of a section of docs/reading.md to a file, for a corpus and batches of 24 examples."""

    def write(section: str, corpus: str) -> Path:
        text = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
        path = tmp_path / "page.py"
        path.write_text(code.replace("out/corpus", corpus).replace("256", "24"))
        return path

    return write
