"""Memory does not grow with the corpus: the command itself, on texts of two sizes."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MEGABYTE = 1_000_000

pytestmark = pytest.mark.slow


def write_text(folder: Path, documents: list[list[str]], size: int, files: int) -> None:
    """Writes `size` bytes of the documents in ever other orders, spread over files."""
    draw = random.Random(3)
    folder.mkdir()
    for number in range(files):
        written = 0
        with (folder / f"{number:04d}.txt").open("wb") as stream:
            while written < size // files:
                document = draw.choice(documents)
                written += stream.write(("\n".join(draw.sample(document, len(document))) + "\n\n").encode())


def test_ten_times_the_text_takes_the_same_memory(
    documents: list[list[str]], vocabulary_path: str, tmp_path: Path, measure: Callable[..., Any]
) -> None:
    peaks = []
    for name, megabytes, files in (("small", 4, 1), ("large", 40, 1), ("many", 40, 1000)):
        write_text(tmp_path / name, documents, megabytes * MEGABYTE, files)
        words = [sys.executable, "-m", "pipeline", "corpus", "--no-progress", "--workers", "1", "--format", "bert"]
        words += ["--input", str(tmp_path / name), "--output", str(tmp_path / f"{name}-out")]
        words += ["--vocab", vocabulary_path, "--dupe-factor", "1", "--block-bytes", str(MEGABYTE)]
        done = measure(words)
        assert done.code == 0, done.errors
        peaks.append(done.peak_bytes)
    assert max(peaks) < 1.1 * min(peaks)
