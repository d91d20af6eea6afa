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


def google_variables(model: Any) -> dict[str, np.ndarray]:
    """A model's weights under the names of google-research/bert's modeling.py and run_pretraining.py."""
    encoder, head, mlm = model.encoder_network, model.classification_heads[0], model.masked_lm
    variables = {
        "bert/embeddings/word_embeddings": encoder.word_embeddings.embeddings,
        "bert/embeddings/position_embeddings": encoder.position_embedding.embeddings,
        "bert/embeddings/token_type_embeddings": encoder.type_embeddings.embeddings,
        "cls/predictions/output_bias": mlm.bias,
        "cls/seq_relationship/output_weights": tf.transpose(head.out_proj.kernel),
        "cls/seq_relationship/output_bias": head.out_proj.bias,
    }
    norms = {
        "bert/embeddings/LayerNorm": encoder.embeddings_layer_norm,
        "cls/predictions/transform/LayerNorm": mlm.layer_norm,
    }
    dense = {"bert/pooler/dense": head.dense, "cls/predictions/transform/dense": mlm.dense}
    for index, block in enumerate(encoder.transformer_layers):
        layer, attention = f"bert/encoder/layer_{index}", block.self_attention
        dense |= {f"{layer}/attention/self/{x}": getattr(attention, f"{x}_dense") for x in ("query", "key", "value")}
        dense[f"{layer}/attention/output/dense"] = attention.attention_output_dense
        dense[f"{layer}/intermediate/dense"] = block.intermediate_dense
        dense[f"{layer}/output/dense"] = block.output_dense
        norms[f"{layer}/attention/output/LayerNorm"] = block.attention_layer_norm
        norms[f"{layer}/output/LayerNorm"] = block.output_layer_norm
    variables |= {f"{name}/kernel": layer.kernel for name, layer in dense.items()}
    variables |= {f"{name}/bias": layer.bias for name, layer in dense.items()}
    variables |= {f"{name}/gamma": layer.gamma for name, layer in norms.items()}
    variables |= {f"{name}/beta": layer.beta for name, layer in norms.items()}
    return {name: np.asarray(variable) for name, variable in variables.items()}


def write_google_checkpoint(prefix: str, variables: dict[str, np.ndarray]) -> None:
    """As run_pretraining.py's Estimator does, the optimiser's moments beside the weights."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in variables.items():
            tf.compat.v1.get_variable(name, initializer=value)
            tf.compat.v1.get_variable(f"{name}/adam_m", initializer=np.full_like(value, 9.0))
            tf.compat.v1.get_variable(f"{name}/adam_v", initializer=np.full_like(value, 9.0))
        tf.compat.v1.get_variable("global_step", initializer=np.int64(7))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, prefix)


@pytest.fixture(scope="module")
def google(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive as google-research/bert's, unpacked."""
    folder = tmp_path_factory.mktemp("uncased_L-2_H-16_A-2")
    write_google_checkpoint(str(folder / "bert_model.ckpt"), google_variables(trained.model))
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
    assert start_from(model, source) == f"starting from {prefix}"
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
    with pytest.raises(InputError, match=r"must lie bert_config.json"):
        read_checkpoint(str(tmp_path / "bert_model.ckpt"))
    (tmp_path / "bert_config.json").write_bytes((google / "bert_config.json").read_bytes())
    data = tmp_path / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(InputError, match="must be a whole TensorFlow checkpoint"):
        _ = read_checkpoint(str(tmp_path / "bert_model.ckpt")).weights


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    by_names, by_objects = str(tmp_path / "names"), str(tmp_path / "objects")
    write_google_checkpoint(by_names, {"generator/dense/kernel": np.ones((2, 2), np.float32)})
    tf.train.Checkpoint(x=tf.Variable(1.0, name="x")).write(by_objects)
    for prefix in (by_names, by_objects):
        with pytest.raises(InputError, match="must be a checkpoint of a BERT"):
            read_checkpoint(prefix)
