"""ModernBERT's configuration, and a run of it by the command on padded and on packed rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.cli import main
from pipeline.config.tree import apply_overrides, dump_yaml, from_dict, to_dict
from pipeline.errors import ConfigError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.configs import ExperimentConfig
from pipeline.training.encoders import BaseEncoderConfig, EncoderConfig, ModernBertEncoderConfig, build_encoder

SHAPE = {"hidden_size": 16, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "local_attention": 4}


def test_every_option_reaches_the_encoder() -> None:
    options: dict[str, Any] = {
        "vocab_size": 31,
        "hidden_size": 12,
        "num_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 17,
        "max_position_embeddings": 19,
        "layer_norm_epsilon": 0.25,
        "norm": "rms_norm",
        "use_bias": True,
        "rotary_theta": 300.0,
        "local_rotary_theta": 200.0,
        "local_attention": 6,
        "global_attention_every": 2,
    }
    encoder = build_encoder(
        ModernBertEncoderConfig(**options, dropout_rate=0.2, attention_dropout_rate=0.3, mlp="swiglu")
    )
    built = encoder.get_config()
    renamed = {"intermediate_size": "inner_dim", "max_position_embeddings": "max_sequence_length"}
    assert {name: built[renamed.get(name, name)] for name in options} == options
    assert (built["output_dropout"], built["attention_dropout"], built["gated_mlp"]) == (0.2, 0.3, True)
    assert encoder.inner_activation(np.float32(1)) == keras.activations.silu(np.float32(1))
    assert not build_encoder(ModernBertEncoderConfig(**options, mlp="dense")).gated_mlp


@pytest.mark.parametrize("kind", [EncoderConfig, ModernBertEncoderConfig])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 10, "num_attention_heads": 3}, "hidden_size must be a multiple of num_attention_heads"),
        ({"hidden_size": 9, "num_attention_heads": 3, "positions": "rotary"}, "heads of an even width.* 9 / 3"),
        ({"local_attention": 7}, "local_attention must be even.* 7"),
        ({"local_attention": 0}, "local_attention must be between 2 and"),
        ({"global_attention_every": 0}, "global_attention_every must be between 1 and"),
        ({"norm": "batch_norm"}, "norm must be one of layer_norm, rms_norm"),
        ({"mlp": "reglu"}, "mlp must be one of dense, geglu, swiglu"),
        ({"mlp": "geglu", "hidden_activation": "relu"}, "mlp 'geglu' has its own activation.* 'relu'"),
        ({"mlp": "geglu", "hidden_activation": "silu"}, "needs a hidden_activation of gelu or gelu_exact.* 'silu'"),
    ],
)
def test_what_cannot_be_is_refused(kind: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    if kind is ModernBertEncoderConfig:
        options = {name: value for name, value in options.items() if name != "positions"}
    with pytest.raises(ConfigError, match=message):
        kind(**options)


def test_a_final_norm_needs_norms_first() -> None:
    with pytest.raises(ConfigError, match=r"final_norm needs norm_first"):
        EncoderConfig(final_norm=True)


def test_the_head_is_the_encoders_where_it_is_left_open() -> None:
    modern = PretrainerConfig(encoder=ModernBertEncoderConfig(num_layers=8)).with_head()
    assert (modern.mlm_activation, modern.mlm_initializer_range) == ("gelu_exact", pytest.approx(0.02 / 4))
    bert = PretrainerConfig().with_head()
    assert (bert.mlm_activation, bert.mlm_initializer_range) == ("gelu", 0.02)
    stated = dataclasses.replace(modern, mlm_activation="relu", mlm_initializer_range=0.5)
    assert stated.with_head() == stated


def test_it_is_a_kind_of_encoder() -> None:
    assert next(iter(BaseEncoderConfig.kinds)) == "bert"
    config = apply_overrides(PretrainerConfig(), ["encoder.type=modernbert", "encoder.num_layers=7"])
    assert config.encoder == ModernBertEncoderConfig(num_layers=7)
    assert from_dict(PretrainerConfig, to_dict(config)) == config


@pytest.mark.parametrize("packing", [pytest.param("none", marks=pytest.mark.slow), "best-fit"])
def test_a_run_by_the_command(
    tiny_config: Any, bert_text: str, vocabulary_path: str, packing: str, tmp_path: Path
) -> None:
    """It is trained and resumed with the same numbers, and asked; the run's configuration holds its head."""
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    (tmp_path / "text.txt").write_text(bert_text)
    command = ["corpus", "--input", str(tmp_path / "text.txt"), "--output", str(corpus), "--no-progress"]
    command += ["--vocab", vocabulary_path, "--max-seq-length", "48", "--packing", packing, "--dupe-factor", "4"]
    assert main([*command, "--validation-fraction", "0.2"]) == 0
    values = to_dict(tiny_config(train_steps=12, validation_interval=12, example="the [MASK] ship"))
    for data in ("train_data", "validation_data"):
        values["task"][data]["global_batch_size"] = 8
    values["task"]["model"] = {"encoder": {"type": "modernbert", **SHAPE}}
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(from_dict(ExperimentConfig, values)))
    command = ["pretrain", "--corpus", str(corpus), "--run", str(run), "--config", str(path), "--no-progress"]
    assert main(command) == 0
    log = (run / "log.jsonl").read_text()
    losses = [row["loss"] for row in map(json.loads, log.splitlines()) if row["split"] == "train"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    for name in ("results.json", "model.keras", "checkpoints/step-12.index"):
        (run / name).unlink()
    assert main(command) == 0
    assert (run / "log.jsonl").read_text() == log
    assert "mlm_activation: gelu_exact" in (run / "config.yaml").read_text()
    assert main(["predict", "--run", str(run), "the [MASK] ship"]) == 0
