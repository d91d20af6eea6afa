"""Models that start from others with fewer positions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.cli import main
from pipeline.config.tree import apply_overrides, from_dict
from pipeline.errors import ConfigError, InputError
from pipeline.records.spec import RecordSpec
from pipeline.training.bert import build_pretrainer
from pipeline.training.configs import ExperimentConfig
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.positions import extends_positions, longer_table, longer_theta
from pipeline.training.exchange.start import fill_in_model, read_source, start_from


def test_the_table_is_repeated() -> None:
    table = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(longer_table(table, 8, "repeat"), table[[0, 1, 2, 0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(longer_table(table, 3, "repeat"), table)


def test_the_table_is_stretched() -> None:
    table = np.array([[0.0, 5.0], [4.0, 5.0], [6.0, 1.0]], np.float32)
    found = longer_table(table, 5, "interpolate")
    np.testing.assert_array_equal(found, [[0, 5], [2, 5], [4, 5], [5, 3], [6, 1]])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(longer_table(table, 3, "interpolate"), table)
    np.testing.assert_array_equal(longer_table(table[:1], 4, "interpolate"), table[[0, 0, 0, 0]])


def test_theta_grows_so_that_the_slowest_angle_spans_the_new_length() -> None:
    theta = longer_theta(10_000.0, 8.0, 64)
    slowest, fastest = (lambda base, pair: base ** (-2 * pair / 64)), 0
    np.testing.assert_allclose(8 * slowest(theta, 31), slowest(10_000.0, 31))
    assert slowest(theta, fastest) == slowest(10_000.0, fastest) == 1.0
    assert longer_theta(7.0, 3.0, 2) == 7.0


def test_what_positions_are_extended(make_trained: Any) -> None:
    config = make_trained().config

    def of(**options: Any) -> Any:
        return dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, **options))

    assert extends_positions(of(max_position_embeddings=25), config)
    assert not extends_positions(config, config)
    assert not extends_positions(of(max_position_embeddings=23), config)
    rotary = of(positions="rotary")
    assert extends_positions(of(positions="rotary", max_position_embeddings=48), rotary)
    assert not extends_positions(of(positions="rotary", max_position_embeddings=48), config)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_short_text_keeps_its_numbers_and_long_text_has_some(
    kind: str, make_trained: Any, batch: Any, tmp_path: Path
) -> None:
    options = {"hidden_activation": "gelu_exact", "mlm_activation": "gelu_exact", "next_sentence": False}
    old = make_trained(**(options if kind == "roberta" else {}))
    export_huggingface(old, str(tmp_path / "model"), architecture=kind)
    source = read_source(str(tmp_path / "model"))
    encoder = dataclasses.replace(source.config.encoder, max_position_embeddings=60)
    model = build_pretrainer(dataclasses.replace(source.config, encoder=encoder))
    said = start_from(model, source).description
    assert said == f"starting from {tmp_path}/model; positions 24 to 59 begin as copies of the first ones"
    np.testing.assert_array_equal(
        model(batch, training=False)["mlm_logits"], old.model(batch, training=False)["mlm_logits"]
    )
    table = np.asarray(model.encoder_network.position_embedding.embeddings)
    np.testing.assert_array_equal(table[24:48], table[:24])
    long = {name: np.tile(value, (1, 2)) for name, value in batch.items()}
    assert np.isfinite(np.asarray(model(long, training=False)["mlm_logits"])).all()


@pytest.mark.slow
def test_the_command_trains_on_longer_examples(
    trained: Any, write_corpus: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a folder, and from the run that this makes; fewer positions are refused."""
    corpus = write_corpus(tmp_path / "corpus", spec=RecordSpec(40, 4), train=(30,), validation=(12,))
    export_huggingface(trained, str(tmp_path / "model"))
    options = {
        "task": {"train_data": {"global_batch_size": 8}, "validation_data": {"global_batch_size": 8}},
        "trainer": {
            "train_steps": 1,
            "optimizer": {"learning_rate": 0.0, "warmup_steps": 0},
            "example": "w01 [MASK]",
            "pseudo_tokens": 0,
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(options))
    common = ["pretrain", "--config", str(tmp_path / "config.yaml"), "--no-progress", "--corpus", str(corpus.directory)]
    run, source = str(tmp_path / "run"), str(tmp_path / "model")
    assert main([*common, "--init-from", source, "--run", run]) == 2
    assert "max_position_embeddings must be at least the corpus's 40 tokens" in capsys.readouterr().err
    positions = "--task.model.encoder.max-position-embeddings"
    assert main([*common, "--init-from", source, "--run", run, positions, "40"]) == 0
    assert "positions 24 to 39 begin as copies of the first ones" in capsys.readouterr().out
    assert main([*common, "--init-from", run, "--run", str(tmp_path / "longer"), positions, "64"]) == 0
    assert "positions 40 to 63 begin as copies of the first ones" in capsys.readouterr().out
    table = np.asarray(trained.model.encoder_network.position_embedding.embeddings)
    found = np.asarray(load_trained(str(tmp_path / "longer")).model.encoder_network.position_embedding.embeddings)
    np.testing.assert_array_equal(found, longer_table(longer_table(table, 40, "repeat"), 64, "repeat"))
    assert main(["export", "--run", str(tmp_path / "longer"), "--output", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["max_position_embeddings"] == 64
    assert main([*common, "--init-from", run, "--run", str(tmp_path / "shorter"), positions, "30"]) == 2
    assert "max_position_embeddings 30 instead of 40" in capsys.readouterr().err


def test_a_shorter_table_is_refused(make_trained: Any, tmp_path: Path) -> None:
    old = make_trained()
    export_huggingface(old, str(tmp_path / "model"))
    source = read_source(str(tmp_path / "model"))
    encoder = dataclasses.replace(source.config.encoder, max_position_embeddings=20)
    with pytest.raises(InputError, match=r"must have the shape .*, as in the model"):
        start_from(build_pretrainer(dataclasses.replace(source.config, encoder=encoder)), source)
    with pytest.raises(ConfigError, match="between"):
        dataclasses.replace(source.config.encoder, max_position_embeddings=0)


# === Rotary positions ===


def modernbert(make_trained: Any, folder: Path) -> Any:
    """A ModernBERT of 24 positions, exported to a folder."""
    trained = make_trained(type="modernbert", next_sentence=False, mlm_activation="gelu_exact", local_attention=8)
    export_huggingface(trained, str(folder))
    return trained


def config_of(folder: Path, *overrides: str, **encoder: Any) -> ExperimentConfig:
    values = fill_in_model({"task": {"model": {"encoder": encoder}}}, str(folder), overrides=overrides)
    return apply_overrides(from_dict(ExperimentConfig, values), overrides)


def test_theta_is_scaled_where_a_longer_length_is_stated(make_trained: Any, tmp_path: Path) -> None:
    """In a file or as an option; what is stated of it stays."""
    modernbert(make_trained, tmp_path / "model")
    length = "task.model.encoder.max_position_embeddings"
    scaled = float(f"{160_000 * 2 ** (8 / 6):.6g}")
    for config in (
        config_of(tmp_path / "model", max_position_embeddings=48),
        config_of(tmp_path / "model", f"{length}=48"),
        config_of(tmp_path / "model", f"{length}=48", max_position_embeddings=96),
    ):
        encoder = config.task.model.encoder
        assert (encoder.max_position_embeddings, encoder.rotary_theta) == (48, scaled)
        assert encoder.local_rotary_theta == 10_000.0
    same = config_of(tmp_path / "model", f"{length}=24").task.model.encoder
    assert same.rotary_theta == 160_000.0
    stated = config_of(tmp_path / "model", f"{length}=48", "task.model.encoder.rotary_theta=5e5").task.model.encoder
    assert stated.rotary_theta == 500_000.0
    with pytest.raises(ConfigError, match="max_position_embeddings must be of type int"):
        config_of(tmp_path / "model", f"{length}=long")


def test_a_longer_modernbert_is_trained_and_exported(
    make_trained: Any, write_corpus: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says what became of theta, goes on with the run, and exports what Hugging Face computes with."""
    old = modernbert(make_trained, tmp_path / "model")
    corpus = write_corpus(tmp_path / "corpus", spec=RecordSpec(40, 4, next_sentence=False), train=(30,))
    command = ["pretrain", "--init-from", str(tmp_path / "model"), "--corpus", str(corpus.directory), "--no-progress"]
    command += [
        "--run",
        str(tmp_path / "run"),
        "--steps",
        "2",
        "--learning-rate",
        "0",
        "--trainer.example",
        "w01 [MASK]",
    ]
    command += ["--trainer.pseudo-tokens", "0", "--task.model.encoder.max-position-embeddings", "48"]
    assert main(command) == 0
    assert (
        "; 48 positions instead of 24: the rotary theta of blocks that attend to the whole sequence is 403,175 instead"
        " of 160,000 (task.model.encoder.rotary_theta)"
    ) in capsys.readouterr().out
    assert main(command) == 0  # Not scaled once more.
    assert "already finished" in capsys.readouterr().out
    assert main(["export", "--run", str(tmp_path / "run"), "--output", str(tmp_path / "out")]) == 0
    exported = json.loads((tmp_path / "out" / "config.json").read_text())
    assert exported["max_position_embeddings"] == 48
    assert exported["rope_parameters"]["full_attention"]["rope_theta"] == exported["global_rope_theta"] == 403_175
    assert exported["local_rope_theta"] == 10_000
    again = load_trained(str(tmp_path / "out")).model.encoder_network
    for one, other in zip(again.get_weights(), old.model.encoder_network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    command[command.index("--run") + 1] = str(tmp_path / "shorter")
    assert main([*command[:-1], "20"]) == 2
    assert "max_position_embeddings 20 instead of 24" in capsys.readouterr().err
