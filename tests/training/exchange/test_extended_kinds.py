"""Models that go on with an extended vocabulary of byte pairs, by the commands."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.tokenizer_files import make_tokenizer_file

from pipeline.cli import main
from pipeline.tokenizers import make_tokenizer
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.load import load_trained

OLD = ["the sea is wide and the ship is small", "a small ship at sea", "the wide sea at night is dark and wild"]
NEW = [f"the quorvex is {word} and the blimtas at sea" for word in ("wide", "small", "dark", "wild")] * 12


def vocabulary(kind: str) -> bytes:
    return make_tokenizer_file(kind, OLD, 300)


def log_softmax(trained: Any, text: str, entries: int) -> tuple[list[int], np.ndarray]:
    """A text's ids, and what is predicted at each of them among the first entries."""
    ids = trained.tokenizer.encode([text])[0].tolist()
    batch = {
        "input_word_ids": np.array([ids], np.int32),
        "input_mask": np.ones((1, len(ids)), np.int32),
        "input_type_ids": np.zeros((1, len(ids)), np.int32),
        "masked_lm_positions": np.arange(len(ids), dtype=np.int32)[None],
    }
    logits = np.asarray(trained.model(batch, training=False)["mlm_logits"], np.float64)[0, :, :entries]
    return ids, logits - np.log(np.exp(logits).sum(1, keepdims=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["roberta"])
def test_text_without_new_entries_has_the_logits_that_it_had(
    kind: str, make_trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = vocabulary(kind)
    tokenizer = make_tokenizer(data)
    size = tokenizer.vocab_size
    options = {"vocab_size": size, "next_sentence": False}
    if kind == "roberta":
        options |= {"hidden_activation": "gelu_exact", "mlm_activation": "gelu_exact"}
    model = dataclasses.replace(make_trained(**options), vocabulary=data, tokenizer=tokenizer)
    export_huggingface(model, "source", **({"architecture": kind} if kind == "roberta" else {}))
    Path("text.txt").write_text("\n\n".join(f"{text}.\n{text} again {n}." for n, text in enumerate(NEW)))
    reads = ["--input", "text.txt", "--format", "bert", "--no-progress", "--workers", "1"]
    assert main(["vocab", "--extend", "source", "--add", "6", *reads, "--output", "grown"]) == 0
    make = ["--vocab", "grown", "--output", "corpus", "--max-seq-length", "24", "--pairing", "full-sentences"]
    assert main(["corpus", *reads, *make, "--validation-fraction", "0.2"]) == 0
    still = ["--steps", "1", "--batch-size", "4", "--trainer.optimizer.warmup-steps", "0", "--learning-rate", "1e-30"]
    command = ["pretrain", "--init-from", "source", "--corpus", "corpus", "--run", "run", "--no-progress", *still]
    assert main([*command, "--trainer.example", "the [MASK]"]) == 0
    before, after = load_trained("source"), load_trained("run")
    assert after.tokenizer.vocab_size == size + 6
    same = 0
    for text in OLD:
        ids, expected = log_softmax(before, text, size)
        found_ids, found = log_softmax(after, text, size)
        if max(found_ids) < size:
            assert found_ids == ids
            np.testing.assert_allclose(found, expected, atol=1e-5)
            same += 1
    assert same
    ids, _ = log_softmax(after, NEW[0], size)
    assert max(ids) >= size
