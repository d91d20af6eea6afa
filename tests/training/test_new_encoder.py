"""A new encoder is one module and one registration: what every command then does with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.cli import main
from pipeline.config.tree import apply_overrides, check_ranges, dump_yaml, from_dict, option, to_dict
from pipeline.errors import ConfigError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.configs import ExperimentConfig, MaskedLMConfig, OptimizerConfig
from pipeline.training.encoders import BaseEncoderConfig, EncoderConfig
from pipeline.training.evaluation.scores import build_scorer
from pipeline.training.loop.train_step import TrainStep
from pipeline.training.masked_lm import MaskedLMTask
from pipeline.training.modeling.built_model import BuiltModel
from pipeline.training.optimization.build import build_optimizer

# === The toy's module: no segments, no positions, no pooler, options of its own ===


@keras.saving.register_keras_serializable(package="toy")
class Averages(BuiltModel):
    """Each token beside the average of its sequence."""

    type_vocab_size = None
    max_sequence_length = None
    pooler_layer = None

    def __init__(self, vocab_size: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocab_size, self.width = vocab_size, width
        self.table = keras.layers.Embedding(vocab_size, width, name="table")
        self.mix = keras.layers.Dense(width, activation="tanh", name="mix")
        self.build_with({n: keras.Input((None,), dtype="int32", name=n) for n in ("input_word_ids", "input_mask")})

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        words = self.table(inputs["input_word_ids"])
        weights = keras.ops.cast(inputs["input_mask"], words.dtype)[..., None]
        mean = keras.ops.sum(words * weights, axis=1, keepdims=True) / keras.ops.sum(weights, axis=1, keepdims=True)
        return {"sequence_output": self.mix(words) + mean}

    def get_embedding_table(self) -> Any:
        return self.table.embeddings

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "vocab_size": self.vocab_size, "width": self.width}


@dataclass(frozen=True)
class AveragesConfig(BaseEncoderConfig):
    """Its options."""

    type: str = option("averages", "the toy", choices=("averages",))
    vocab_size: int | None = option(None, "number of entries in the vocabulary; null: as in the corpus")
    width: int = option(8, "width", minimum=1, maximum=64)

    max_position_embeddings = None
    type_vocab_size = None

    @property
    def hidden_size(self) -> int:  # type: ignore[override]
        return self.width

    def __post_init__(self) -> None:
        check_ranges(self)

    def build(self, vocab_size: int) -> Averages:
        return Averages(vocab_size, self.width, name="averages_encoder")


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    BaseEncoderConfig.register("averages")(AveragesConfig)
    yield
    del BaseEncoderConfig.kinds["averages"]


# === Its uses ===


def test_packed_rows_are_refused(make_packed: Any) -> None:
    """Before the first step, and before the first score: the toy's averages would be of whole rows."""
    task = MaskedLMTask(MaskedLMConfig(model=PretrainerConfig(encoder=AveragesConfig(vocab_size=50))))
    model = task.build_model()
    optimizer = build_optimizer(OptimizerConfig(warmup_steps=0), 10, model.trainable_variables)
    single, packed = make_packed(((9, 5), (24,)), pairs=False)
    specs = [tf.data.Dataset.from_tensors(batch).element_spec for batch in (single, packed)]
    TrainStep(task, model, optimizer, specs[0])
    with pytest.raises(ConfigError, match=r"Packed rows need an encoder .* Averages, which takes input_word_ids"):
        TrainStep(task, model, optimizer, specs[1])
    score, places, labels = build_scorer(model), np.array([[0, 1]], np.int32), np.array([7], np.int32)
    assert np.isfinite(score(single, places, labels).losses).all()
    with pytest.raises(ConfigError, match="Packed rows need an encoder"):
        score(packed, places, labels)


@pytest.fixture
def config(tiny_config: Any, tmp_path: Path) -> Path:
    values = to_dict(tiny_config())
    values["task"]["model"]["encoder"] = {"type": "averages", "width": 16}
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(from_dict(ExperimentConfig, values)))
    return path


def _weights(run: Path) -> dict[str, np.ndarray]:
    model = keras.saving.load_model(run / "model.keras", compile=False)
    return {weight.path: weight.numpy() for weight in model.weights}


def _assert_equal(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_an_encoder_is_one_module_and_one_registration(
    config: Path, tiny_corpus: Any, tmp_path: Path, capsys: Any
) -> None:
    """It is trained, resumed, evaluated, asked and exported."""
    run, corpus = tmp_path / "run", str(tiny_corpus.directory)
    command = ["pretrain", "--corpus", corpus, "--run", str(run), "--config", str(config), "--no-progress"]
    assert main(command) == 0
    log = (run / "log.jsonl").read_text()
    losses = [row["loss"] for row in map(json.loads, log.splitlines()) if row["split"] == "train"]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    trained = _weights(run)
    assert trained["averages_encoder/table/embeddings"].shape == (50, 16)

    for name in ("results.json", "model.keras", "checkpoints/step-24.index"):
        (run / name).unlink()
    assert main(command) == 0
    assert (run / "log.jsonl").read_text() == log
    _assert_equal(_weights(run), trained)

    assert main(["predict", "--run", str(run), "w03 [MASK] w05"]) == 0
    assert main(["evaluate", "--run", str(run), "--corpus", corpus, "--no-progress"]) == 0
    capsys.readouterr()
    assert main(["export", "--run", str(run), "--format", "saved-model", "--output", str(tmp_path / "served")]) == 0
    served = tf.saved_model.load(str(tmp_path / "served")).signatures["encode"]
    assert set(served.structured_input_signature[1]) == {"input_word_ids", "input_mask"}
    assert main(["export", "--run", str(run), "--format", "huggingface", "--output", str(tmp_path / "hf")]) == 2
    assert "encoder.type albert, bert, modernbert. Received: 'averages'" in capsys.readouterr().err


def test_a_run_starts_from_one_by_the_paths_of_its_weights(
    config: Path, tiny_corpus: Any, tmp_path: Path, capsys: Any
) -> None:
    """It reads the source once, and goes on when that has moved."""
    source, run, corpus = tmp_path / "source", tmp_path / "run", str(tiny_corpus.directory)
    assert main(["pretrain", "--corpus", corpus, "--run", str(source), "--config", str(config), "--no-progress"]) == 0
    command = ["pretrain", "--corpus", corpus, "--run", str(run), "--init-from", str(source), "--no-progress"]
    # A step of no length leaves the model as it started.
    options = ["--trainer.optimizer.learning-rate", "0", "--trainer.optimizer.warmup-steps", "0"]
    options += ["--trainer.train-steps", "4", "--trainer.checkpoint-interval", "2", "--trainer.example", "w01 [MASK]"]
    options += ["--task.train-data.global-batch-size", "16", "--task.validation-data.global-batch-size", "16"]
    assert main([*command, *options, "--task.model.encoder.width", "8"]) == 2
    assert "width 8 instead of 16" in capsys.readouterr().err
    assert main([*command, *options]) == 0
    assert f"starting from {source}" in capsys.readouterr().out
    _assert_equal(_weights(run), _weights(source))

    weights, log = _weights(run), (run / "log.jsonl").read_text()
    shutil.rmtree(source)
    for name in ("results.json", "model.keras", "checkpoints/step-4.index"):
        (run / name).unlink()
    assert main([*command, *options]) == 0
    assert "continuing from step 2" in capsys.readouterr().out
    _assert_equal(_weights(run), weights)
    assert (run / "log.jsonl").read_text() == log


def test_the_type_chooses_the_options() -> None:
    bert, toy = PretrainerConfig(), from_dict(PretrainerConfig, {"encoder": {"type": "averages"}})
    assert isinstance(bert.encoder, EncoderConfig)
    assert toy.encoder == AveragesConfig()
    changed = apply_overrides(bert, ["encoder.type=averages", "encoder.width=3"])
    assert changed.encoder == AveragesConfig(width=3)
    assert apply_overrides(changed, ["encoder.width=5"]).encoder == AveragesConfig(width=5)
    assert apply_overrides(changed, ["encoder.type=albert"]).encoder == EncoderConfig(type="albert")
    assert from_dict(PretrainerConfig, to_dict(changed)) == changed
    for values, message in (
        ({"type": "averages", "num_layers": 2}, "There is no option encoder.num_layers"),
        ({"width": 2}, "There is no option encoder.width"),
        ({"type": "gpt"}, "encoder.type must be one of bert, albert, modernbert, averages. Received: 'gpt'"),
        ({"type": ["bert"]}, "encoder.type must be one of bert, albert, modernbert, averages"),
        ({"type": "averages", "width": 65}, "encoder.width must be between 1 and 64"),
    ):
        with pytest.raises(ConfigError, match=message):
            from_dict(PretrainerConfig, {"encoder": values})
