"""Hugging Face's own library loads what we export, and we load what it saves, with the same numbers."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import OutputError
from pipeline.tokenizers import make_tokenizer
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece, split_words
from pipeline.training.exchange.families.registry import family_of_config
from pipeline.training.exchange.hf_export import TOLERANCE, export_huggingface, verify
from pipeline.training.exchange.hf_import import read_huggingface
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.safetensors_file import read_safetensors
from pipeline.training.exchange.start import start_from
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask

pytestmark = pytest.mark.slow

TEXTS = [
    "The old captain  watches",
    " Ünïcödé ﬁne 日本語 😀\tit ",
    "a [MASK] ship [MASK].",
    "",
    "w01 W02, w03",
    "w44",
    "Wéo w10 w10\tw11",
    "[MASK] w10 [SEP]",
    "unknown words",
    "w01" + "w" * 150,
]
EXACT = {"hidden_activation": "gelu_exact", "mlm_activation": "gelu_exact"}
MODERN = {"type": "modernbert", "next_sentence": False, "num_layers": 4, "local_attention": 8}
OURS: dict[str, dict[str, Any]] = {
    "pretraining": {},
    "masked-lm": {"next_sentence": False},
    "exact": {**EXACT, "layer_norm_epsilon": 0.1},
    "roberta": {**EXACT, "next_sentence": False, "type_vocab_size": 1, "layer_norm_epsilon": 1e-5},
    "xlm-roberta": {"mlm_activation": "gelu_exact", "next_sentence": False, "layer_norm_epsilon": 0.1},
    "albert": {"type": "albert", "embedding_size": 8},
    "albert-masked-lm": {"type": "albert", "embedding_size": 8, "next_sentence": False},
    "modernbert": {**MODERN, "mlm_activation": "gelu_exact", "rotary_theta": 403_175.0},
    "modernbert-biases": {**MODERN, "use_bias": True, "mlp": "swiglu", "global_attention_every": 2},
}
CLASSES = {  # Of masked LM, and of pre-training if there is one.
    "roberta": ("RobertaForMaskedLM", "RobertaForMaskedLM"),
    "xlm-roberta": ("XLMRobertaForMaskedLM", "XLMRobertaForMaskedLM"),
    "albert": ("AlbertForMaskedLM", "AlbertForPreTraining"),
    "albert-masked-lm": ("AlbertForMaskedLM", "AlbertForPreTraining"),
    "modernbert": ("ModernBertForMaskedLM",),
    "modernbert-biases": ("ModernBertForMaskedLM",),
}
THEIRS = ("pretraining", "masked-lm", "half", *CLASSES)
SENTENCEPIECE: dict[str, dict[str, Any]] = {
    "unigram": {"model_type": "unigram", "vocab_size": 150, "lower_case": True},
    "unigram-bytes": {"model_type": "unigram", "vocab_size": 450, "byte_fallback": True},
    "bpe": {"model_type": "bpe", "vocab_size": 150},
    "bpe-bytes": {"model_type": "bpe", "vocab_size": 450, "byte_fallback": True},
}


@pytest.fixture(scope="module")
def environment(peer_environment: Any) -> Path:
    return peer_environment("huggingface")


@pytest.fixture(scope="module")
def batch(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without padding between the tokens, which RoBERTa does not count."""
    return {**batch, "input_word_ids": np.maximum(batch["input_word_ids"], 2)}


@pytest.fixture(scope="module")
def models(make_trained: Any, documents: list[list[str]]) -> dict[str, Any]:
    made = {name: make_trained(**options) for name, options in OURS.items()}
    counts = Counter(word for document in documents for line in document for word in split_words(line))
    for name, options in SENTENCEPIECE.items():
        vocabulary = learn_sentencepiece(counts, **options)
        tokenizer = make_tokenizer(vocabulary)
        trained = make_trained(vocab_size=tokenizer.vocab_size)
        made[name] = dataclasses.replace(trained, tokenizer=tokenizer, vocabulary=vocabulary)
    return made


@pytest.fixture(scope="module")
def computed(
    environment: Path, run_script: Any, models: dict[str, Any], batch: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder that the script has worked on."""
    folder = tmp_path_factory.mktemp("transformers")
    (folder / "ours").mkdir()
    for name, trained in models.items():
        architecture = name if "roberta" in name else None
        export_huggingface(trained, str(folder / "ours" / name), architecture=architecture)
    theirs = {"input_ids": "input_word_ids", "attention_mask": "input_mask", "token_type_ids": "input_type_ids"}
    np.savez(folder / "batch.npz", **{name: batch[ours].astype(np.int64) for name, ours in theirs.items()})
    (folder / "texts.json").write_text(json.dumps(TEXTS))
    run_script(environment, "transformers_script.py", str(folder))
    return folder


def ours_on(model: Any, batch: Any) -> dict[str, np.ndarray]:
    """Logits of a model of ours at every position, under Hugging Face's names."""
    every = np.broadcast_to(np.arange(24, dtype=np.int32), (4, 24))
    inputs = {**batch, "masked_lm_positions": every}
    outputs = model({name: inputs[name] for name in model.inputs}, training=False)
    found = {"prediction_logits": np.asarray(outputs["mlm_logits"])}
    if "next_sentence" in outputs:
        found["seq_relationship_logits"] = np.asarray(outputs["next_sentence"])
    return found


def assert_same(found: np.ndarray, expected: np.ndarray, batch: Any, tolerance: float = TOLERANCE) -> None:
    """Compares logits, those of tokens where there are some for padding too, which says nothing."""
    tokens = batch["input_mask"].astype(bool) if expected.ndim == 3 else np.ones(len(expected), bool)
    np.testing.assert_allclose(found[tokens], expected[tokens], atol=tolerance)


@pytest.mark.parametrize("name", [*OURS, *SENTENCEPIECE])
def test_what_we_export_computes_the_same_there(computed: Path, models: Any, batch: Any, name: str) -> None:
    found = np.load(computed / "ours-computed" / f"{name}.npz")
    if name == "roberta":
        batch = {**batch, "input_type_ids": np.zeros_like(batch["input_type_ids"])}
    expected = ours_on(models[name].model, batch)
    assert_same(found["masked-lm.prediction_logits"], expected["prediction_logits"], batch)
    assert found["masked-lm.missing"].size == 0
    classes = CLASSES.get(name, ("BertForMaskedLM", "BertForPreTraining"))
    assert str(found["masked-lm.class"]) == classes[0]
    if len(classes) == 1:
        return
    for key, value in expected.items():
        assert_same(found[f"pretraining.{key}"], value, batch)
    # All of it, or all but the head that was never trained.
    assert (found["pretraining.missing"].size == 0) == ("masked-lm" not in name)
    assert str(found["pretraining.class"]) == classes[1]


def test_the_tokenizer_gives_the_same_ids_there(computed: Path, models: Any) -> None:
    found = np.load(computed / "ours-computed" / "pretraining.npz")
    tokenizer = models["pretraining"].tokenizer
    ids = json.loads(str(found["ids"]))
    cls, sep, mask = (tokenizer.special_ids[name] for name in ("cls", "sep", "mask"))
    for text, theirs in zip(TEXTS, ids, strict=True):
        # Hugging Face takes every special token that a text spells for one.
        pieces = [tokenizer.encode_with_masks(part) for part in text.split("[SEP]")]
        assert theirs == [cls, *pieces[0], *[i for part in pieces[1:] for i in (sep, *part)], sep], text
    assert json.loads(str(found["pair_ids"]))[0] == [*ids[0], *ids[1][1:]]
    assert json.loads(str(found["pair_types"]))[0] == [0] * len(ids[0]) + [1] * (len(ids[1]) - 1)
    assert int(found["mask_id"]) == mask
    assert int(found["max_length"]) == 24


@pytest.mark.parametrize("name", list(SENTENCEPIECE))
def test_sentencepiece_gives_the_same_ids_there(
    computed: Path, models: Any, documents: list[list[str]], name: str
) -> None:
    tokenizer = models[name].tokenizer
    found = json.loads(str(np.load(computed / "ours-computed" / f"{name}.npz")["ids"]))
    cls, sep = tokenizer.special_ids["cls"], tokenizer.special_ids["sep"]
    for text, theirs in zip(TEXTS, found, strict=True):
        if "[SEP]" not in text:
            assert theirs == [cls, *tokenizer.encode_with_masks(text), sep], text
    # And as a model to use here, with the vocabulary that lies beside it.
    loaded = load_trained(str(computed / "ours" / name))
    assert loaded.tokenizer.encode(documents[0]).ids.tolist() == tokenizer.encode(documents[0]).ids.tolist()


@pytest.mark.parametrize("name", THEIRS)
def test_what_they_save_computes_the_same_here(computed: Path, batch: Any, name: str) -> None:
    source = read_huggingface(str(computed / "theirs" / name))
    model = MaskedLMTask(MaskedLMConfig(model=source.config)).build_model()
    assert start_from(model, source).description == f"starting from {source.path}"
    found = ours_on(model, batch)
    expected = np.load(computed / "theirs-computed" / f"{name}.npz")
    assert set(found) == set(expected.files)
    for key in expected.files:
        assert_same(found[key], expected[key], batch)


def test_the_export_asks_transformers_where_there_is_one(
    environment: Path, models: Any, computed: Path, tmp_path: Path
) -> None:
    python, trained = str(environment / "bin" / "python"), models["pretraining"]
    differences = export_huggingface(trained, str(tmp_path / "out"), python=python)
    assert set(differences) == {"numpy", "transformers"}
    assert max(differences.values()) < TOLERANCE / 10
    with pytest.raises(OutputError, match="differ from the trained model's"):
        verify(str(computed / "ours" / "exact"), trained.model, python=python)


def test_the_numbers_in_numpy_are_those_of_transformers(computed: Path, batch: Any) -> None:
    """What checks the exports, where there is no transformers, on models that transformers made."""
    for name in THEIRS:
        folder = computed / "theirs" / name
        config = json.loads((folder / "config.json").read_text())
        family = family_of_config(config, source=name)
        expected = dict(np.load(computed / "theirs-computed" / f"{name}.npz"))
        inputs = dict(np.load(computed / "batch.npz"))
        every = np.broadcast_to(np.arange(24), (4, 24))
        weights = read_safetensors(str(folder / "model.safetensors"))
        found = family.compute(config, weights, inputs, every)
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert_same(found[key], value, batch, 1e-5)
