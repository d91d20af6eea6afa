"""Models that start from others with fewer learned positions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.cli import main
from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import build_pretrainer
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.positions import extends_positions, longer_table
from pipeline.training.exchange.start import read_source, start_from


def test_the_table_is_repeated() -> None:
    table = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(longer_table(table, 8), table[[0, 1, 2, 0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(longer_table(table, 3), table)


def test_only_learned_positions_are_extended(make_trained: Any) -> None:
    config = make_trained().config

    def of(**options: Any) -> Any:
        return dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, **options))

    assert extends_positions(of(max_position_embeddings=25), config)
    assert not extends_positions(config, config)
    assert not extends_positions(of(max_position_embeddings=23), config)
    rotary = of(positions="rotary")
    assert not extends_positions(of(positions="rotary", max_position_embeddings=48), rotary)


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
    from pipeline.records.spec import RecordSpec

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
    np.testing.assert_array_equal(found, longer_table(longer_table(table, 40), 64))
    assert main(["export", "--run", str(tmp_path / "longer"), "--output", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["max_position_embeddings"] == 64
    assert main([*common, "--init-from", run, "--run", str(tmp_path / "shorter"), positions, "30"]) == 2
    assert "max_position_embeddings 30 instead of 40" in capsys.readouterr().err


def test_a_shorter_table_is_refused(make_trained: Any, tmp_path: Path) -> None:
    old = make_trained()
    export_huggingface(old, str(tmp_path / "model"))
    source = read_source(str(tmp_path / "model"))
    encoder = dataclasses.replace(source.config.encoder, max_position_embeddings=20)
    with pytest.raises(InputError, match="must have the model's shape"):
        start_from(build_pretrainer(dataclasses.replace(source.config, encoder=encoder)), source)
    with pytest.raises(ConfigError, match="between"):
        dataclasses.replace(source.config.encoder, max_position_embeddings=0)
