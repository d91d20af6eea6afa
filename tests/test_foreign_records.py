"""Records of other tools, from the command that trains on them to the saved model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import pipeline.training.modeling  # noqa: F401 It registers the classes of saved models.

ROOT = Path(__file__).parents[1]
MLM = [sys.executable, "-m", "pipeline"]
pytestmark = pytest.mark.slow


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_records_train_the_model_that_their_corpus_does(tmp_path: Path, write_texts: Any, vocabulary_path: str) -> None:
    """With the corpus's shards as bare files, under the names of google-research/bert's features."""
    corpus, records = tmp_path / "corpus", tmp_path / "bare"
    options = ["--feature-names", "v1", "--validation-fraction", "0.3", "--no-progress"]
    run(
        *MLM,
        "corpus",
        "--input",
        write_texts(tmp_path / "texts"),
        "--output",
        corpus,
        "--vocab",
        vocabulary_path,
        *options,
    )
    records.mkdir()
    for shard in corpus.glob("*.tfrecord"):
        shutil.copy(shard, records)
    shutil.copy(corpus / "vocab.txt", records)
    small = {"vocab_size": None, "hidden_size": 32, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = tmp_path / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "task": {"model": {"encoder": small}, "train_data": {"global_batch_size": 16}},
                "trainer": {"train_steps": 12, "validation_interval": 6, "optimizer": {"warmup_steps": 2}},
            }
        )
    )
    ours, bare = tmp_path / "ours", tmp_path / "run"
    run(*MLM, "pretrain", "--corpus", corpus, "--run", ours, "--config", config, "--no-progress")
    data = [
        "--input",
        records / "train-*",
        "--validation-input",
        records / "validation-*",
        "--vocab",
        records / "vocab.txt",
    ]
    for _ in range(2):  # The second shows the results of the first.
        run(*MLM, "pretrain", *data, "--run", bare, "--config", config, "--no-progress")
    expected, found = (json.loads((path / "results.json").read_text()) for path in (ours, bare))
    for results in (expected, found):
        del results["tokens_per_second"]
        for split in ("train", "validation"):
            results[split] = {name: value for name, value in results[split].items() if "second" not in name}
    assert found == expected
    first, second = (keras.models.load_model(path / "model.keras", compile=False) for path in (ours, bare))
    for weight, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(weight, other)
    evaluated = json.loads(run(*MLM, "evaluate", "--run", bare, "--json", "--no-progress"))["corpus"]
    assert evaluated["examples"] > 0
