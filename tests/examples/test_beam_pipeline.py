"""The example of a pipeline of one's own, as the script runs it."""

from __future__ import annotations

import html
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import load_script

from pipeline.inspection.validation.validate import validate_corpus
from pipeline.manifest import read_manifest
from pipeline.reader import Corpus
from pipeline.tokenizers import load_tokenizer

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "beam_pipeline.py"


@pytest.fixture(scope="module")
def script() -> Any:
    """The script, as a module."""
    return load_script(SCRIPT)


@pytest.fixture
def pages(documents: list[list[str]]) -> list[str]:
    """The documents as pages, with pages of another language among them."""

    def page(language: str, paragraphs: list[str]) -> str:
        body = "".join(f"<p class=x>{html.escape(found)}</p>\n" for found in paragraphs)
        return json.dumps({"language": language, "html": f"<html><h1>Title</h1>{body}</html>"})

    return [page("en", document) for document in documents] + [page("de", ["Nein, <b>danke</b>."])] * 5


@pytest.fixture
def arguments(pages: list[str], tmp_path: Path, vocabulary_path: str) -> Callable[..., list[str]]:
    """Writes the pages into two files, in a random order; returns the script's arguments."""

    def make(name: str, *more: str, seed: int = 0) -> list[str]:
        folder = tmp_path / f"{name}-pages"
        folder.mkdir()
        shuffled = random.Random(seed).sample(pages, len(pages))
        for place, part in enumerate((shuffled[:20], shuffled[20:])):
            (folder / f"{place}.jsonl").write_text("".join(f"{line}\n" for line in part))
        return [f"{folder}/*.jsonl", str(tmp_path / name), "--vocab", vocabulary_path, *more]

    return make


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_the_example(
    script: Any, arguments: Callable[..., list[str]], documents: list[list[str]], tmp_path: Path, capsys: Any
) -> None:
    script.main(arguments("corpus"))
    corpus, manifest = Corpus(str(tmp_path / "corpus")), read_manifest(str(tmp_path / "corpus"))
    assert capsys.readouterr().out == f"{len(corpus):,} training examples\n"
    assert validate_corpus(str(tmp_path / "corpus"), max_repeats=1).problems == []
    assert manifest.statistics["text"]["documents_read"] == len(documents)

    # With the labels in place of the masks, every example is a piece of a document.
    tokenizer = load_tokenizer(manifest.tokenizer, str(tmp_path / "corpus"))
    known = [" ".join(map(str, tokenizer.encode(document).ids)) for document in documents]
    masks = 0
    for example in corpus:
        count = int(example["masked_lm_weights"].sum())
        ids = example["input_word_ids"].copy()
        masks += np.count_nonzero(ids == tokenizer.special_ids["mask"])
        ids[example["masked_lm_positions"][:count]] = example["masked_lm_ids"][:count]
        text = ids[: example["input_mask"].sum()][1:-1]
        assert any(f" {' '.join(map(str, text))} " in f" {document} " for document in known)
    assert masks > len(corpus)

    script.main(arguments("shuffled", seed=1))
    assert shards(tmp_path / "shuffled") == shards(tmp_path / "corpus")


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_processes_write_the_same_bytes(script: Any, arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    processes = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    run(str(SCRIPT), *arguments("by-processes", *processes, seed=2))
    script.main(arguments("corpus"))
    assert shards(tmp_path / "by-processes") == shards(tmp_path / "corpus")


@pytest.mark.slow
def test_the_commands_take_the_corpus(script: Any, arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    options = tmp_path / "options.yaml"
    options.write_text("{pairing: doc-sentences, validation_fraction: 0.2}")
    script.main(arguments("corpus", "--config", str(options)))
    corpus, trained = str(tmp_path / "corpus"), tmp_path / "run"
    assert "ok      totals" in run("-m", "pipeline", "validate", corpus)
    encoder = {
        "vocab_size": None,
        "num_layers": 1,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    training = {
        "task": {
            "model": {"encoder": {"type": "bert", "bert": encoder}},
            "train_data": {"global_batch_size": 8},
            "validation_data": {"global_batch_size": 8},
        },
        "trainer": {
            "train_steps": 10,
            "optimizer": {"warmup_steps": 2},
            "steps_per_loop": 5,
            "validation_interval": 10,
        },
    }
    config = tmp_path / "small.yaml"
    config.write_text(json.dumps(training))  # Which is YAML, too.
    run("-m", "pipeline", "pretrain", "--config", str(config), "--corpus", corpus, "--run", str(trained))
    results = json.loads((trained / "results.json").read_text())
    assert results["steps"] == 10
    assert 0 < results["validation"]["lm_example_loss"] < 10

    script.main(arguments("packed", "--config", "configs/corpus-packed.yaml", "--shards", "2"))
    assert validate_corpus(str(tmp_path / "packed"), max_repeats=1).problems == []
    assert read_manifest(str(tmp_path / "packed")).options["packing"] == "best-fit"
