from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import compiling

ROOT = Path(__file__).parents[1]


def test_every_module_of_compiling_is_named() -> None:
    users = [path for path in (ROOT / "pipeline").rglob("*.py") if "\n@compiled(" in path.read_text(encoding="utf-8")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in users}
    named = [loops for name, loops in vars(compiling).items() if name.endswith("_LOOPS")]
    assert names == {name for loops in named for name in loops}


COMPILE = """
from pipeline.compiling import CORPUS_LOOPS, MASKING_LOOPS, READING_LOOPS, compile_loops
compile_loops(CORPUS_LOOPS + MASKING_LOOPS + READING_LOOPS)
"""


@pytest.mark.slow
def test_a_second_process_finds_them_compiled(tmp_path: Path) -> None:
    """In a cache of its own: the first process compiles, the second writes nothing."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    first = subprocess.run([sys.executable, "-c", COMPILE], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert b"Compiling the inner loops" in first.stderr
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ic]")}
    assert written
    subprocess.run([sys.executable, "-c", COMPILE], cwd=ROOT, env=environment, check=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ic]")} == written


def test_loading_what_is_compiled_prints_nothing_however_long_it_takes() -> None:
    patient = f"from pipeline import compiling\ncompiling._SECONDS_IN_SILENCE = 0.0\n{COMPILE}"
    subprocess.run([sys.executable, "-c", COMPILE], cwd=ROOT, check=True)
    done = subprocess.run([sys.executable, "-c", patient], cwd=ROOT, check=True, capture_output=True)
    assert done.stderr == b""


WITHOUT_CACHE = f"""
from numba.core import caching
kind = getattr(caching, "CacheImpl", None) or caching._CacheImpl
kind._locator_classes = []  # As where neither the package's directory nor the user's can be written to.
{COMPILE}
from pipeline.tokenizers.chunks import Chunks, encoded
print(Chunks().number(*encoded(["a b"]))[0])
"""


@pytest.mark.slow
def test_where_nothing_can_be_kept_each_process_compiles() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_CACHE], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Compiling the inner loops" in done.stderr
    assert done.stdout.strip() == "[0 1]"
