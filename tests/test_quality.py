"""The comparison of recipes, peers included, at its smallest: by its target of the Makefile."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = ["tensorflow/models", "run_mlm", "ours"]
OPTIONS = ["--size", "smallest", "--budgets", "0.75", "--rates", "3e-3", "--seeds", "1", "--recipes", *RECIPES]


@pytest.mark.slow
def test_recipes_are_compared_once(peer_environment: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("peers", "huggingface"):  # Under a lock: other tests make them, too.
        peer_environment(name)
    folder = tmp_path / "quality"
    command = ["make", "bench-quality", f"BENCH_ARGS={' '.join(OPTIONS)} --folder {folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [line["recipe"] for line in lines] == RECIPES
    for line in lines:
        found = line["tune"]["masked_lm"]["all"]
        assert 3.0 < found["loss"] < 6.5, "below ln(1000), and better than guessing"
        assert found["predictions"] > 20_000
        assert line["steps"] > 20
    assert "| ours | 0.003 |" in done.stdout
    assert "tensorflow/models at 0.003, 0.75 minutes" in done.stdout
    ElementTree.fromstring((folder / "quality.svg").read_text())

    before = (folder / "results.jsonl").stat().st_mtime_ns
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr[-3000:]
    assert (folder / "results.jsonl").stat().st_mtime_ns == before
