"""Runs scripts in other projects' environments, and writes their checkpoints."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def run_script() -> Callable[..., None]:
    """Runs a script of this directory in another environment, and with no packages but that one's."""

    def run(environment: Path, script: str, *arguments: str) -> None:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        variables |= {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [str(environment / "bin" / "python"), str(Path(__file__).with_name(script)), *arguments]
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    return run


def _google_variables(model: Any) -> dict[str, np.ndarray]:
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


def _write_google_checkpoint(prefix: str, model: Any) -> None:
    """As run_pretraining.py's Estimator does, the optimiser's moments beside the weights; of a model, or variables."""
    variables = model if isinstance(model, dict) else _google_variables(model)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in variables.items():
            tf.compat.v1.get_variable(name, initializer=value)
            tf.compat.v1.get_variable(f"{name}/adam_m", initializer=np.full_like(value, 9.0))
            tf.compat.v1.get_variable(f"{name}/adam_v", initializer=np.full_like(value, 9.0))
        tf.compat.v1.get_variable("global_step", initializer=np.int64(7))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, prefix)


@pytest.fixture(scope="session")
def write_google_checkpoint() -> Callable[[str, Any], None]:
    """Writes a checkpoint as google-research/bert does; see `_write_google_checkpoint`."""
    return _write_google_checkpoint
