"""Models that go on with an extended vocabulary, of each kind that can be extended, by the commands."""

from __future__ import annotations

import dataclasses
import itertools
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.sentencepiece_models import train_sentencepiece
from oracles.tokenizer_files import make_tokenizer_file

from pipeline.cli import main
from pipeline.tokenizers import make_tokenizer
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.load import load_trained

OLD = ["the sea is wide and the ship is small", "a small ship at sea", "the wide sea at night is dark and wild"]
# Every letter and digit, at the beginning of a word and within one: the old pieces of new words.
OLD_PIECES = [f"{character}{character}" for character in string.ascii_lowercase + string.digits + "."]
STEMS = ["quorvex", "blimtas", "zindle", "marfold", "thresk", "ovundra"]
NEW = [f"{a} {b} {c}" for a, b, c in itertools.permutations(STEMS, 3)][::3]


# The architecture that takes each kind of vocabulary, where it is not the default, and its options.
ARCHITECTURES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "roberta": ("roberta", {"hidden_activation": "gelu_exact", "mlm_activation": "gelu_exact"}),
    "bert": (None, {}),
    "xlm-r": ("xlm-roberta", {"hidden_activation": "gelu_exact", "mlm_activation": "gelu_exact"}),
    "sentencepiece": (None, {}),
}


def vocabulary(kind: str) -> bytes:
    """A tokenizer.json of byte pairs, WordPiece or unigrams, or a SentencePiece model of unigrams."""
    if kind == "sentencepiece":
        return train_sentencepiece([*OLD, *OLD_PIECES], 60, model_type="unigram", hard_vocab_limit=False)
    return make_tokenizer_file(kind, [*OLD, *OLD_PIECES], 300)


def log_softmax(trained: Any, text: str, entries: list[int]) -> tuple[list[int], np.ndarray]:
    """A text's ids, and what is predicted at each of them among some entries."""
    ids = trained.tokenizer.encode([text])[0].tolist()
    batch = {
        "input_word_ids": np.array([ids], np.int32),
        "input_mask": np.ones((1, len(ids)), np.int32),
        "input_type_ids": np.zeros((1, len(ids)), np.int32),
        "masked_lm_positions": np.arange(len(ids), dtype=np.int32)[None],
    }
    logits = np.asarray(trained.model(batch, training=False)["mlm_logits"], np.float64)[0][:, entries]
    return ids, logits - np.log(np.exp(logits).sum(1, keepdims=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_text_without_new_entries_has_the_logits_that_it_had(
    kind: str, make_trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = vocabulary(kind)
    tokenizer = make_tokenizer(data)
    architecture, options = ARCHITECTURES[kind]
    options = {"max_position_embeddings": 64, **options}
    model = make_trained(vocab_size=tokenizer.vocab_size, next_sentence=False, **options)
    model = dataclasses.replace(model, vocabulary=data, tokenizer=tokenizer)
    export_huggingface(model, "source", architecture=architecture)
    Path("text.txt").write_text("\n\n".join(f"{text}.\n{text} {n}." for n, text in enumerate(NEW)))
    reads = ["--input", "text.txt", "--format", "bert", "--no-progress", "--workers", "1"]
    assert main(["vocab", "--extend", "source", "--add", "6", *reads, "--output", "grown"]) == 0
    make = ["--vocab", "grown", "--output", "corpus", "--max-seq-length", "24", "--pairing", "full-sentences"]
    assert main(["corpus", *reads, *make, "--validation-fraction", "0.2"]) == 0
    # A step of no length: what is compared are the weights before the first one.
    still = ["--steps", "1", "--batch-size", "4", "--trainer.optimizer.warmup-steps", "0", "--learning-rate", "1e-30"]
    command = ["pretrain", "--init-from", "source", "--corpus", "corpus", "--run", "run", "--no-progress", *still]
    assert main([*command, "--trainer.example", "the [MASK]"]) == 0
    before, after = load_trained("source"), load_trained("run")
    old, new = before.tokenizer.tokens, after.tokenizer.tokens
    kept = [index for index, token in enumerate(old) if new[index] == token]
    in_unused = len(old) - len(kept)  # Placeholders of the old vocabulary that became words.
    assert len(new) == len(old) + 6 - in_unused
    same = 0
    for text in OLD:
        ids, expected = log_softmax(before, text, kept)
        found_ids, found = log_softmax(after, text, kept)
        if set(found_ids) <= set(kept):
            assert found_ids == ids
            np.testing.assert_allclose(found, expected, atol=1e-5)
            same += 1
    assert same
    ids, _ = log_softmax(after, NEW[0], kept)
    assert not set(ids) <= set(kept)
