"""From Hugging Face's folder through a training run back to one, by the commands: the same ids, the same logits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.tokenizer_files import make_tokenizer_file

from pipeline.cli import main
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.training.exchange.trained_model import load_run

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4
# The tokenizer of each, and the class that it is loaded as.
FAMILIES = {
    "bert": ("bert", "BertForMaskedLM"),
    "roberta": ("roberta", "RobertaForMaskedLM"),
    "xlm-roberta": ("xlm-r", "XLMRobertaForMaskedLM"),
    "albert": ("bert", "AlbertForMaskedLM"),
    "modernbert": ("modernbert", "ModernBertForMaskedLM"),
    "roberta-encoder": ("roberta", "RobertaForMaskedLM"),
    "modernbert-encoder": ("modernbert", "ModernBertForMaskedLM"),
}
LENGTH = 40


@pytest.fixture(scope="module")
def texts() -> list[list[str]]:
    """Real documentation, in documents of sentences."""
    paths = [path for path in source_files(STANDARD_LIBRARY) if path.parent.name in ("email", "asyncio")]
    return [document for path in paths for document in documents(path)[0]]


@pytest.fixture(scope="module")
def folder(
    peer_environment: Any, run_script: Any, texts: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Each model of transformers in theirs, after twenty steps in ours, and what it computes there in computed."""
    environment, folder = peer_environment("huggingface"), tmp_path_factory.mktemp("round-trips")
    (folder / "tokenizers").mkdir()
    (folder / "text.txt").write_text("\n\n".join("\n".join(document) for document in texts))
    (folder / "texts.json").write_text(json.dumps([sentence for document in texts[:8] for sentence in document][:24]))
    sentences = [sentence for document in texts for sentence in document]
    # Once for each kind: the library's trainers do not learn the same twice.
    learned = {kind: make_tokenizer_file(kind, sentences, 900) for kind, _ in FAMILIES.values()}
    for name, (kind, _) in FAMILIES.items():
        (folder / "tokenizers" / f"{name}.json").write_bytes(learned[kind])
    run_script(environment, "round_trips_script.py", "make", str(folder))
    for name in FAMILIES:
        tokenizer = FAMILIES[name][0]
        theirs, corpus, run = folder / "theirs" / name, folder / "corpora" / tokenizer, folder / "runs" / name
        pairing = "next-sentence" if tokenizer == "bert" else "full-sentences"
        make = ["corpus", "--input", str(folder / "text.txt"), "--output", str(corpus), "--pairing", pairing]
        make += ["--vocab", str(theirs / "tokenizer.json"), "--max-seq-length", "32", "--workers", "1"]
        train = ["pretrain", "--init-from", str(theirs), "--corpus", str(corpus), "--run", str(run)]
        train += ["--trainer.train-steps", "20", "--trainer.optimizer.warmup-steps", "2"]
        train += ["--trainer.optimizer.learning-rate", "1e-3"]
        for split in ("train", "validation"):
            train += [f"--task.{split}-data.global-batch-size", "8"]
        export = ["export", "--run", str(run), "--output", str(folder / "ours" / name)]
        export += ["--verify-with", str(environment / "bin" / "python")]
        (folder / "ours").mkdir(exist_ok=True)
        if not corpus.exists():
            assert main([*make, "--no-progress"]) == 0, make
        for command in ([*train, "--no-progress"], export):
            assert main(command) == 0, command
    run_script(environment, "round_trips_script.py", "compute", str(folder))
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_ids_and_logits(folder: Path, name: str) -> None:
    found = np.load(folder / "computed" / f"{name}.npz")
    assert (str(found["kind"]), found["missing"].tolist()) == (FAMILIES[name][1], [])
    trained = load_run(str(folder / "runs" / name))
    special = trained.tokenizer.special_ids
    sentences = json.loads((folder / "texts.json").read_text())
    rows = []
    for sentence in sentences:
        ids = trained.tokenizer.encode([sentence]).ids.tolist()[: LENGTH - 2]
        rows.append([special["cls"], *ids, special["sep"]])
    longest = max(map(len, rows))
    expected = np.array([row + [special["pad"]] * (longest - len(row)) for row in rows])
    np.testing.assert_array_equal(found["input_ids"], expected)
    masked = trained.tokenizer.encode_with_masks("The value [MASK] is")
    assert found["masked"].tolist() == [special["cls"], *masked, special["sep"]]

    mask = found["attention_mask"]
    np.testing.assert_array_equal(mask.sum(axis=1), [len(row) for row in rows])
    inputs = {
        "input_word_ids": found["input_ids"].astype(np.int32),
        "input_mask": mask.astype(np.int32),
        "input_type_ids": np.zeros_like(mask, np.int32),
        "masked_lm_positions": np.broadcast_to(np.arange(longest, dtype=np.int32), mask.shape),
    }
    outputs = trained.model({key: inputs[key] for key in trained.model.inputs}, training=False)
    real = mask.astype(bool)
    np.testing.assert_allclose(found["logits"][real], np.asarray(outputs["mlm_logits"])[real], atol=TOLERANCE)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_configuration_comes_back(folder: Path, name: str) -> None:
    """What is written says of the model what was read, but for what only other heads or programs need."""
    theirs, ours = (json.loads((folder / side / name / "config.json").read_text()) for side in ("theirs", "ours"))
    for key in ours.keys() & theirs.keys() - {"architectures"}:
        assert ours[key] == theirs[key], key
    kind = re.sub("Model$", "ForMaskedLM", theirs["architectures"][0])
    assert ours["architectures"] == [kind]
