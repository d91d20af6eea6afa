from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from pipeline.tokenizers import WordPieceTokenizer
from pipeline.training.evaluation.predict import encode_with_masks, fill_masks, predict


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "##s", "."]
    return WordPieceTokenizer("\n".join(words).encode())


class Model:
    """Scores the vocabulary by the position that is asked for, and keeps what it was given."""

    encoder_network = SimpleNamespace(max_sequence_length=8)

    def __call__(self, inputs: dict[str, np.ndarray], training: bool) -> dict[str, np.ndarray]:
        self.inputs = inputs
        positions = inputs["masked_lm_positions"]
        logits = -np.abs(np.arange(10)[None, None, :] - positions[:, :, None])
        return {"mlm_logits": logits.astype(np.float32)}


def test_encoding(tokenizer: WordPieceTokenizer) -> None:
    ids, positions = encode_with_masks(tokenizer, "The [MASK] cats [MASK].")
    assert ids == [2, 5, 4, 6, 8, 4, 9, 3]
    assert positions == [2, 5]
    assert encode_with_masks(tokenizer, "[MASK]") == ([2, 4, 3], [1])


def test_guesses_are_the_best_in_order(tokenizer: WordPieceTokenizer) -> None:
    model = Model()
    texts = ["the cat [MASK] .", "[MASK] sat [MASK]"]
    (first,), second = fill_masks(model, tokenizer, texts, top_k=3)
    shares = np.exp(-np.abs(np.arange(10) - 3.0))
    shares /= shares.sum()
    assert [guess.token for guess in first] == ["[SEP]", "[CLS]", "[MASK]"]
    assert [guess.probability for guess in first] == pytest.approx([shares[3], shares[2], shares[4]], rel=1e-5)
    assert len(second) == 2
    assert second[0][0].token == "[UNK]"
    np.testing.assert_array_equal(model.inputs["input_mask"], np.ones((1, 5)))


def test_bad_input_is_refused(tokenizer: WordPieceTokenizer, tmp_path: Path, tiny_corpus: Any) -> None:
    with pytest.raises(InputError, match=r"at least one \[MASK\]"):
        fill_masks(Model(), tokenizer, ["the cat"])
    with pytest.raises(InputError, match="8 tokens"):
        fill_masks(Model(), tokenizer, ["the cat sat the cat sat [MASK]"])
    for top_k in (0, 11):
        with pytest.raises(ConfigError, match="top_k"):
            fill_masks(Model(), tokenizer, ["[MASK]"], top_k=top_k)
    with pytest.raises(InputError, match="no such file"):
        predict(str(tmp_path / "nowhere"), ["[MASK]"])
    with pytest.raises(InputError, match=r"No model found at .*: the directory contains chunks.bin, manifest.json"):
        predict(str(tiny_corpus.directory), ["[MASK]"])
