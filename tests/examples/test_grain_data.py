"""Grain reads the reader's batches, with any number of threads and processes, and continues from a saved state."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles.numbered import bytes_of, joined

from pipeline.reader import Corpus

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "grain_data.py"


def test_batches(run_loader: Callable[..., str], numbered_corpus: str, tmp_path: Path) -> None:
    run_loader(Path(__file__).with_name("grain_script.py"), numbered_corpus, tmp_path / "found.pickle")
    found = pickle.loads((tmp_path / "found.pickle").read_bytes())
    expected = [bytes_of(batch) for batch in Corpus(numbered_corpus).batches(24, seed=1, epochs=2)]
    assert len(expected) > 80
    for name in ("one thread", "three threads", "two workers"):
        assert [bytes_of(batch) for batch in found[name]] == expected, name
    assert [bytes_of(batch) for batch in found["before the stop"]] == expected[:50]
    for name in ("after it", "set back", "restarted"):
        assert [bytes_of(batch) for batch in found[name]] == expected[50:], name
    for processes in (2, 3):
        parts = [found[f"{process} of {processes}"] for process in range(processes)]
        assert [bytes_of(joined(together)) for together in zip(*parts, strict=True)] == expected


def test_the_example_continues_where_it_stopped(
    run_loader: Callable[..., str], numbered_corpus: str, tmp_path: Path
) -> None:
    options = ("--batch-size", 24, "--steps", 9, "--state", tmp_path / "state.json")
    shown = run_loader(EXAMPLE, numbered_corpus, *options)
    assert re.search(r"An epoch has \d+ steps; reading from \{'next_index': 0\}\n", shown)
    assert re.search(r"input_word_ids +int32 \[24, \d+\]\n", shown)
    assert re.search(r"masked_lm_weights +float32 \[24, 4\]\n", shown)
    assert re.search(r"\n[\d,]+ examples/s\n$", shown)
    shown = run_loader(EXAMPLE, numbered_corpus, *options, "--process", 1, "--processes", 3)
    assert "reading from {'next_index': 9}" in shown
    assert "[8, 4]" in shown
    run_loader(EXAMPLE, numbered_corpus, *options, "--steps", 1000)
    with pytest.raises(AssertionError, match="The epoch was read to its end"):
        run_loader(EXAMPLE, numbered_corpus, *options)


def test_the_page(run_loader: Callable[..., str], numbered_corpus: str, page: Callable[[str, str], Path]) -> None:
    """What docs/reading.md shows runs as it stands there, with a corpus and batches of other sizes."""
    path = page("Grain", numbered_corpus)
    path.write_text(f"{path.read_text()}\nprint(batch['input_word_ids'].shape, state)\n")
    assert re.fullmatch(r"\(24, \d+\) \{'next_index': 1\}\n", run_loader(path))
