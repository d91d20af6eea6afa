"""PyTorch loads the reader's batches, with any number of workers and processes, and from any step."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles.numbered import bytes_of, joined

from pipeline.reader import Corpus

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "pytorch_data.py"


def test_batches(run_loader: Callable[..., str], numbered_corpus: str, tmp_path: Path) -> None:
    run_loader(Path(__file__).with_name("pytorch_script.py"), numbered_corpus, tmp_path / "found.pickle")
    found = pickle.loads((tmp_path / "found.pickle").read_bytes())
    expected = [bytes_of(batch) for batch in Corpus(numbered_corpus).batches(24, seed=1, epochs=2)]
    assert len(expected) > 80
    for name in ("no workers", "two workers"):
        assert [bytes_of(batch) for batch in found[name]] == expected, name
    for name in ("restarted", "restarted with workers"):
        assert [bytes_of(batch) for batch in found[name]] == expected[50:], name
    for processes in (2, 3):
        ranks = [found[f"rank {rank} of {processes}"] for rank in range(processes)]
        assert [bytes_of(joined(parts)) for parts in zip(*ranks, strict=True)] == expected


def test_the_example_runs(run_loader: Callable[..., str], numbered_corpus: str) -> None:
    options = ("--batch-size", 24, "--start", 2, "--steps", 9)
    shown = run_loader(EXAMPLE, numbered_corpus, *options, "--workers", 2)
    assert re.search(r"An epoch has \d+ steps; reading from step 2\n", shown)
    assert re.search(r"input_word_ids +torch\.int32 \[24, \d+\]\n", shown)
    assert re.search(r"masked_lm_weights +torch\.float32 \[24, 4\]\n", shown)
    assert re.search(r"\n[\d,]+ examples/s\n$", shown)
    assert "[8, 4]" in run_loader(EXAMPLE, numbered_corpus, *options, RANK="1", WORLD_SIZE="3")
    with pytest.raises(AssertionError, match=r"--start must be one of the \d+ steps"):
        run_loader(EXAMPLE, numbered_corpus, "--start", 1000)


def test_the_page(run_loader: Callable[..., str], numbered_corpus: str, page: Callable[[str, str], Path]) -> None:
    """What docs/reading.md shows runs as it stands there, with a corpus and batches of other sizes."""
    path = page("PyTorch", numbered_corpus)
    path.write_text(f"step, rank, world_size = 3, 1, 2\n{path.read_text()}\nprint(batch['input_word_ids'].shape)\n")
    shown = run_loader(path).splitlines()
    assert len(shown) == len(Corpus(numbered_corpus).batches(24, epochs=3)) + 1
    assert all(re.fullmatch(r"torch\.Size\(\[24, \d+\]\)", line) for line in shown[:-1])
    assert re.fullmatch(r"\(12, \d+\)", shown[-1])
