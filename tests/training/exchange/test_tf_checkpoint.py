from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import InputError
from pipeline.training.exchange.start import start_from
from pipeline.training.exchange.tf_checkpoint import find_checkpoint, read_checkpoint
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask


@pytest.fixture(scope="module")
def google(trained: Any, tmp_path_factory: pytest.TempPathFactory, write_google_checkpoint: Any) -> Path:
    """An archive as google-research/bert's, unpacked."""
    folder = tmp_path_factory.mktemp("uncased_L-2_H-16_A-2")
    write_google_checkpoint(str(folder / "bert_model.ckpt"), trained.model)
    config = {
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 16,
        "initializer_range": 0.02,
        "intermediate_size": 24,
        "max_position_embeddings": 24,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "type_vocab_size": 2,
        "vocab_size": 50,
    }
    (folder / "bert_config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_bytes(trained.vocabulary)
    return folder


def test_a_checkpoint_of_google_research(google: Path, trained: Any, batch: Any) -> None:
    prefix = find_checkpoint(str(google))
    assert prefix == str(google / "bert_model.ckpt")
    source = read_checkpoint(prefix)
    assert source.config == trained.config
    assert source.vocabulary == trained.vocabulary
    model = MaskedLMTask(MaskedLMConfig(model=source.config)).build_model()
    assert start_from(model, source).description == f"starting from {prefix}"
    ours, theirs = (m(batch, training=False) for m in (trained.model, model))
    for name in ("mlm_logits", "next_sentence"):
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_ways_to_name_a_checkpoint(google: Path, tmp_path: Path) -> None:
    prefix = str(google / "bert_model.ckpt")
    for path in (prefix, f"{prefix}.index", f"{prefix}.data-00000-of-00001"):
        assert find_checkpoint(path) == prefix
    assert find_checkpoint(str(tmp_path)) is None
    assert find_checkpoint(str(tmp_path / "nowhere")) is None


def test_without_its_configuration_it_is_refused(google: Path, tmp_path: Path) -> None:
    for path in google.glob("bert_model.ckpt*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"No bert_config.json next to"):
        read_checkpoint(str(tmp_path / "bert_model.ckpt"))
    (tmp_path / "bert_config.json").write_bytes((google / "bert_config.json").read_bytes())
    data = tmp_path / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"The TensorFlow checkpoint .* is damaged"):
        _ = read_checkpoint(str(tmp_path / "bert_model.ckpt")).weights


def test_another_checkpoint_is_refused(tmp_path: Path, write_google_checkpoint: Any) -> None:
    by_names, by_objects = str(tmp_path / "names"), str(tmp_path / "objects")
    write_google_checkpoint(by_names, {"generator/dense/kernel": np.ones((2, 2), np.float32)})
    tf.train.Checkpoint(x=tf.Variable(1.0, name="x")).write(by_objects)
    for prefix in (by_names, by_objects):
        with pytest.raises(InputError, match="is not a checkpoint of a BERT"):
            read_checkpoint(prefix)
