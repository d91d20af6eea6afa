"""Memory does not grow with the corpus: the command itself, on texts of two sizes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


def peak_bytes(text: Path, output: Path, vocabulary: str, *options: str) -> int:
    """The most memory that a corpus takes in one process."""
    words = [sys.executable, "-m", "pipeline", "corpus", "--no-progress", "--workers", "1", "--format", "bert"]
    words += ["--input", str(text), "--output", str(output), "--vocab", vocabulary, "--dupe-factor", "1"]
    process = subprocess.Popen([*words, "--block-bytes", str(MEGABYTE), *options], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_ten_times_the_text_takes_the_same_memory(
    documents: list[list[str]], vocabulary_path: str, tmp_path: Path
) -> None:
    peaks = []
    for name, megabytes, files in (("small", 4, 1), ("large", 40, 1), ("many", 40, 1000)):
        write_text(tmp_path / name, documents, megabytes * MEGABYTE, files)
        peaks.append(peak_bytes(tmp_path / name, tmp_path / f"{name}-out", vocabulary_path))
    assert max(peaks) < 1.1 * min(peaks)
