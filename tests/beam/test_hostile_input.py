"""The command itself on text that no prose is like: what it cannot use it says, and the rest it uses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.manifest import Manifest, read_manifest
from pipeline.records.decoding import decode_examples

MEGABYTE = 1_000_000
MOST_MEMORY = 2_000 * MEGABYTE

pytestmark = pytest.mark.slow


@pytest.fixture
def corpus(vocabulary_path: str, tmp_path: Path, measure: Callable[..., Any]) -> Callable[..., tuple[int, str, int]]:
    """Makes a corpus of a text in one process; its exit code, what it wrote to standard error, its peak memory."""

    def make(text: bytes, *options: str) -> tuple[int, str, int]:
        (tmp_path / "text.txt").write_bytes(text)
        words = [sys.executable, "-m", "pipeline", "corpus", "--no-progress", "--workers", "1", "--dupe-factor", "1"]
        words += ["--input", str(tmp_path / "text.txt"), "--output", str(tmp_path / "corpus"), "--overwrite"]
        words += ["--vocab", vocabulary_path, "--validation-fraction", "0", *options]
        done = measure(words)
        assert "Traceback" not in done.errors
        return done.code, done.errors, done.peak_bytes

    return make


def made(tmp_path: Path) -> tuple[Manifest, dict[str, np.ndarray]]:
    """What was made, and the examples of its first shard."""
    manifest = read_manifest(str(tmp_path / "corpus"))
    path = tmp_path / "corpus" / manifest.shards[0].name
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert len(records) == manifest.shards[0].examples
    return manifest, decode_examples(manifest.spec, records)


@pytest.mark.parametrize("text_format", ["bert", "lines", "wrapped"])
@pytest.mark.parametrize("sentences", [False, True])
def test_a_line_of_200_megabytes(
    corpus: Callable[..., Any], documents: list[list[str]], tmp_path: Path, text_format: str, sentences: bool
) -> None:
    """Prose without a line's end; and a word that does not end."""
    prose = " ".join(sentence for document in documents for sentence in document) + " "
    text = (prose if sentences else "abcdefghij").encode()
    text *= 200 * MEGABYTE // len(text)
    code, errors, peak = corpus(text, "--format", text_format)
    assert peak < MOST_MEMORY
    if code:
        assert not sentences
        assert "Traceback" not in errors
        return
    manifest, columns = made(tmp_path)
    assert (columns["input_mask"].sum(axis=1) >= 4).all()
    if sentences and text_format != "bert":
        assert manifest.statistics["train"]["tokens"] > 30e6


@pytest.mark.parametrize("text_format", ["bert", "lines", "wrapped", "jsonl"])
def test_a_million_empty_lines(corpus: Callable[..., Any], tmp_path: Path, text_format: str) -> None:
    code, errors, _ = corpus(b"\n" * 1_000_000, "--format", text_format)
    assert code == 2
    assert "the input contains no documents, only white space" in errors
    assert not (tmp_path / "corpus" / "manifest.json").exists()
    line = b'{"text": "The river rose. Nobody came."}' if text_format == "jsonl" else b"The river rose.\nNobody came."
    code, errors, _ = corpus(b"\n" * 500_000 + line + b"\n" * 500_000 + line + b"\n", "--format", text_format)
    assert code == 0, errors
    assert made(tmp_path)[0].statistics["train"]["examples"] >= 1


def test_documents_of_one_word(corpus: Callable[..., Any], tmp_path: Path) -> None:
    code, errors, _ = corpus(b"river\n\n" * 50_000, "--format", "bert")
    assert code == 0, errors
    manifest, columns = made(tmp_path)
    assert manifest.statistics["train"]["examples"] > 0
    assert columns["masked_lm_weights"].sum() > 0


def test_nothing_but_unknown_words(corpus: Callable[..., Any], vocabulary_tokens: list[str], tmp_path: Path) -> None:
    code, errors, _ = corpus("漢字 仮名。\n仮名 漢字 漢字。\n\n".encode() * 20_000, "--format", "bert")
    assert code == 0, errors
    _, columns = made(tmp_path)
    known = [vocabulary_tokens.index(token) for token in ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]")]
    ids, predicted = columns["input_word_ids"], columns["masked_lm_weights"] > 0
    unusual = ~np.isin(ids, known)  # A tenth of the predictions is replaced by a random token.
    assert unusual.sum() <= 0.2 * predicted.sum()
    assert (columns["masked_lm_ids"][predicted] == vocabulary_tokens.index("[UNK]")).all()


def test_nothing_but_control_characters(corpus: Callable[..., Any], tmp_path: Path) -> None:
    code, errors, _ = corpus(bytes([1, 2, 3, 7, 8, 27, 127, 10]) * 100_000, "--format", "lines")
    assert code == 2
    assert "The corpus would have no training examples" in errors
    assert not (tmp_path / "corpus" / "manifest.json").exists()


def test_text_that_spells_special_tokens(
    corpus: Callable[..., Any], vocabulary_tokens: list[str], tmp_path: Path
) -> None:
    """[MASK] in a text is four tokens or so of it, as in google-research/bert, and never the special one."""
    text = b"[MASK] the [CLS] river [SEP] rose [PAD] .\nNobody [MASK] came .\n\n" * 5000
    code, errors, _ = corpus(text, "--format", "bert", "--masking", "dynamic")
    assert code == 0, errors
    _, columns = made(tmp_path)
    ids = columns["input_word_ids"]
    assert not (ids == vocabulary_tokens.index("[MASK]")).any()
    first = ids == vocabulary_tokens.index("[CLS]")
    assert (first.sum(axis=1) == 1).all()
    assert first[:, 0].all()
