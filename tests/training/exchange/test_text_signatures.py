"""SavedModels that take text, in a process that imports TensorFlow and tensorflow-text alone."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from oracles.sentencepiece_models import train_sentencepiece

from pipeline.errors import ConfigError, VocabularyError
from pipeline.sample.corpus import DEFAULT_PACKAGES
from pipeline.sample.package_sources import documents, source_files, version
from pipeline.tokenizers import Tokenizer, make_tokenizer
from pipeline.tokenizers.learning.byte_pairs import learn_byte_pairs
from pipeline.training.bert import PretrainerConfig
from pipeline.training.encoders import BaseEncoderConfig
from pipeline.training.evaluation.predict import fill_masks
from pipeline.training.exchange import tf_export
from pipeline.training.exchange.tf_export import export_saved_model
from pipeline.training.exchange.trained_model import TrainedModel
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask

VOCABULARY = (Path(__file__).parents[3] / "vocab" / "sample-uncased-8k.txt").read_bytes()
MASKED = [
    "Returns the [MASK] of a list.",
    "[MASK] [MASK], naïve [MASK]!",
    "no mask",
    "",
    "ΑΣ[MASK]",
    "word " * 40 + "[MASK]",
]
PLAIN = ["Paris is the capital.", "", "a [MASK] is text here", "漢字 ÉΣ \u200b", "x" * 300, "word " * 40]
SERVE = """
import sys
sys.modules["pipeline"] = None
import numpy as np, tensorflow as tf, tensorflow_text
texts = np.load("texts.npz")
for folder in sys.argv[1:]:
    signatures = tf.saved_model.load(folder).signatures
    for name in texts:
        outputs = signatures[name](text=tf.constant(texts[name].tolist()))
        np.savez(f"{folder}-{name}.npz", **{key: value.numpy().astype("S") if value.dtype == tf.string else value
                                            for key, value in outputs.items()})
"""


def make_model(vocabulary: bytes, *, type: str = "bert", **encoder: Any) -> TrainedModel:
    """A small model of a vocabulary, with random weights that matter."""
    tokenizer = make_tokenizer(vocabulary)
    shape = {"hidden_size": 16, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    shape |= {"max_position_embeddings": 24, "vocab_size": tokenizer.vocab_size}
    config = PretrainerConfig(encoder=BaseEncoderConfig.kinds[type](**{**shape, **encoder}))
    model = MaskedLMTask(MaskedLMConfig(model=config)).build_model()
    draw = np.random.default_rng(7)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) + 0.3 * draw.normal(size=variable.shape))
    return TrainedModel(model, config, tokenizer, vocabulary)


def serve(folder: Path, models: list[str], **texts: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """The outputs of signatures for texts, by model and signature."""
    np.savez(folder / "texts.npz", **{name: np.array([text.encode() for text in of]) for name, of in texts.items()})
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", SERVE, *models], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {f"{model} {name}": dict(np.load(folder / f"{model}-{name}.npz")) for model in models for name in texts}


def frame(tokenizer: Tokenizer, text: str, limit: int) -> list[int]:
    ids = tokenizer.encode([text]).ids[: limit - 2]
    return [tokenizer.special_ids["cls"], *ids.tolist(), tokenizer.special_ids["sep"]]


def assert_served(trained: TrainedModel, served: dict[str, dict[str, np.ndarray]], name: str) -> None:
    """What the signatures gave is what this project computes."""
    tokenizer, model = trained.tokenizer, trained.model
    encoded, filled = served[f"{name} encode_text"], served[f"{name} fill_mask"]
    limit = model.encoder_network.max_sequence_length
    for row, text in enumerate(PLAIN):
        ids = frame(tokenizer, text, limit)
        assert encoded["input_mask"][row].sum() == len(ids)
        assert encoded["input_word_ids"][row, : len(ids)].tolist() == ids
        word_ids = np.array([ids], np.int32)
        inputs = {"input_word_ids": word_ids, "input_mask": np.ones_like(word_ids), "input_type_ids": 0 * word_ids}
        expected = model.encoder_network({key: inputs[key] for key in model.encoder_network.inputs}, training=False)
        np.testing.assert_allclose(
            encoded["sequence_output"][row, : len(ids)], expected["sequence_output"][0], atol=1e-5
        )
        assert ("pooled_output" in encoded) == ("pooled_output" in expected)
        if "pooled_output" in expected:
            np.testing.assert_allclose(encoded["pooled_output"][row], expected["pooled_output"][0], atol=1e-5)
    assert filled["mask_counts"].tolist() == [1, 3, 0, 0, 1, 0]  # The last one is cut off.
    assert filled["tokens"].shape == (6, 3, 4)
    for row, text in enumerate(MASKED):
        count = filled["mask_counts"][row]
        assert not filled["probabilities"][row, count:].any()
        assert not any(filled["tokens"][row, count:].ravel())
        if count:
            (guesses,) = fill_masks(model, tokenizer, [text], 4)
            for place, best in enumerate(guesses):
                assert [guess.token.encode() for guess in best] == filled["tokens"][row, place].tolist()
                probabilities = [guess.probability for guess in best]
                np.testing.assert_allclose(filled["probabilities"][row, place], probabilities, atol=1e-6)


def sentences() -> Iterator[str]:
    """Sentences of the documentation of installed packages, each once."""
    known: set[int] = set()
    for package in filter(version, DEFAULT_PACKAGES):
        for path in source_files(package):
            for sentence in re.split(
                r"(?<=[.!?:])\s+", "\n".join(text for part in documents(path)[0] for text in part)
            ):
                if len(sentence) > 10 and hash(sentence) not in known:
                    known.add(hash(sentence))
                    yield sentence


@pytest.fixture(scope="module")
def models() -> dict[str, TrainedModel]:
    """Of WordPiece and of SentencePiece, by name; two of BPE, whose operations hold resources."""
    lines = [line for text in topics.values() for line in text.splitlines() if line.strip()]
    unigram = train_sentencepiece(lines, 1500, model_type="unigram", normalization_rule_name="nmt_nfkc_cf")
    return {
        "wordpiece": make_model(VOCABULARY),
        "modern": make_model(VOCABULARY, type="modernbert", hidden_size=32),
        "unigram": make_model(unigram),
        "bpe": make_model(train_sentencepiece(lines, 1200, model_type="bpe")),
        "other-bpe": make_model(train_sentencepiece(lines, 700, model_type="bpe")),
    }


@pytest.mark.parametrize(
    "group", [("wordpiece", "modern"), ("unigram", "bpe", "other-bpe")], ids=lambda group: group[0]
)
def test_text_is_served_without_this_project(
    models: dict[str, TrainedModel], tmp_path: Path, group: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf_export, "check_text_ops", lambda *_: None)  # Takes seconds, and has tests of its own.
    for name in group:
        assert export_saved_model(models[name], str(tmp_path / name), top_k=4) is None
    served = serve(tmp_path, list(group), encode_text=PLAIN, fill_mask=MASKED)
    for name in group:
        assert_served(models[name], served, name)


@pytest.mark.slow
def test_a_hundred_thousand_sentences_have_the_same_ids(models: dict[str, TrainedModel], tmp_path: Path) -> None:
    texts = [sentence for sentence, _ in zip(sentences(), range(100_000), strict=False)]
    assert len(texts) == 100_000
    names = ["wordpiece", "unigram", "bpe"]
    for name in names:
        export_saved_model(models[name], str(tmp_path / name))
    served = serve(tmp_path, names, tokenize=texts)
    for name in names:
        found = served[f"{name} tokenize"]["input_word_ids"]
        ids, splits = models[name].tokenizer.encode(texts)
        special = models[name].tokenizer.special_ids
        expected = np.full_like(found, special["pad"])
        for row, (begin, end) in enumerate(itertools.pairwise(splits)):
            tokens = [special["cls"], *ids[begin:end][:22], special["sep"]]
            expected[row, : len(tokens)] = tokens
        np.testing.assert_array_equal(found, expected)


def test_without_text_signatures_tensorflow_alone_loads_it(models: dict[str, TrainedModel], tmp_path: Path) -> None:
    assert export_saved_model(models["wordpiece"], str(tmp_path / "model"), text=False) is None
    code = "import sys, tensorflow as tf; print(sorted(tf.saved_model.load(sys.argv[1]).signatures))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "model"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['encode', 'serving_default']"


def test_a_tokenizer_json_has_none_and_says_so(tmp_path: Path) -> None:
    vocabulary = learn_byte_pairs(Counter({"a": 2, "b": 3}), vocab_size=300, lower_case=False)
    reason = export_saved_model(make_model(vocabulary), str(tmp_path / "model"))
    assert reason is not None
    assert "a tokenizer.json" in reason
    assert sorted(tf.saved_model.load(str(tmp_path / "model")).signatures) == ["encode", "serving_default"]
    assert json.loads((tmp_path / "model/assets.extra/tokenizer_description.json").read_text())


def test_what_cannot_be_exact_or_is_out_of_range_is_refused(models: dict[str, TrainedModel], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="top_k must be between 1 and 8192"):
        export_saved_model(models["wordpiece"], str(tmp_path / "model"), top_k=0)
    lines = [line for text in topics.values() for line in text.splitlines() if line.strip()]
    vocabulary = train_sentencepiece(lines, 1000, model_type="unigram", byte_fallback=True)
    with pytest.raises(VocabularyError, match="does not give the same tokens as this project"):
        export_saved_model(make_model(vocabulary), str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()
