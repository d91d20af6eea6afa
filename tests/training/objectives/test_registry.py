"""A new objective is one class and one entry: what the whole command then does with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.cli import main
from pipeline.config.tree import dump_yaml, from_dict, to_dict
from pipeline.training.configs import ExperimentConfig
from pipeline.training.data.loader import build_dataset
from pipeline.training.masked_lm import MaskedLMTask
from pipeline.training.objectives import registry
from pipeline.training.objectives.base import ClassificationObjective, Predictions, batch_sums, means, score_all
from pipeline.training.optimization import build
from pipeline.training.run import pretrain

# === The toy: is the first word of a later half of the vocabulary? ===


@dataclass(frozen=True)
class HalfObjective(ClassificationObjective):
    """A class that follows from the batch itself; its first token is [CLS], its last real one [SEP]."""

    def predictions(self, labels: Mapping[str, Any], outputs: Mapping[str, Any]) -> Predictions | None:
        return super().predictions({**labels, "half": tf.reduce_max(labels["input_word_ids"], axis=1) // 27}, outputs)


HALF = HalfObjective("half", "vocabulary half", "half_loss", "half_accuracy", "half", ("half",))


@pytest.fixture(autouse=True)
def _without_it_afterwards() -> Iterator[None]:
    yield
    if HALF in registry.OBJECTIVES:
        registry.OBJECTIVES.remove(HALF)


def _config(tiny_config: Any) -> ExperimentConfig:
    values = to_dict(tiny_config())
    values["task"]["model"]["cls_heads"].append({"name": "half", "inner_dim": 16})
    return from_dict(ExperimentConfig, values)


def test_an_objective_is_one_class_and_one_entry(
    tiny_corpus: Any, tiny_config: Any, tmp_path: Path, capsys: Any
) -> None:
    """It is trained, resumed, logged, shown in both tables, and evaluated as the run evaluated it."""
    registry.OBJECTIVES.append(HALF)
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(dump_yaml(_config(tiny_config)))
    command = ["pretrain", "--corpus", str(tiny_corpus.directory), "--run", str(run), "--config", str(config)]
    assert main([*command, "--no-progress"]) == 0
    table = capsys.readouterr().out
    assert "vocabulary half loss" in table
    assert "vocabulary half accuracy" in table
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for row in rows:
        assert row["loss"] == pytest.approx(row["lm_example_loss"] + row["next_sentence_loss"] + row["half_loss"])
    training = [row["half_loss"] for row in rows if row["split"] == "train"]
    assert np.mean(training[-4:]) < np.mean(training[:4])

    evaluate = ["evaluate", "--run", str(run), "--corpus", str(tiny_corpus.directory), "--no-progress"]
    assert main(evaluate) == 0
    assert "vocabulary half" in capsys.readouterr().out
    assert main([*evaluate, "--json"]) == 0
    results = json.loads((run / "results.json").read_text())["validation"]
    found = json.loads(capsys.readouterr().out)["corpus"]["half"]
    assert found["loss"] == pytest.approx(results["half_loss"], rel=1e-4)
    assert found["accuracy"] == pytest.approx(results["half_accuracy"])


def test_a_checkpoint_of_before_an_objective_is_gone_on_with(
    tiny_corpus: Any, tiny_config: Any, tmp_path: Path
) -> None:
    """A run that was begun before there was an objective goes on to the same weights."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    pretrain(tiny_config(), str(tiny_corpus.directory), str(whole), show_progress=False)
    pretrain(tiny_config(), str(tiny_corpus.directory), str(cut), show_progress=False)
    for name in ("results.json", "model.keras", "checkpoints/step-24.index"):
        (cut / name).unlink()
    registry.OBJECTIVES.append(HALF)
    pretrain(tiny_config(), str(tiny_corpus.directory), str(cut), show_progress=False)
    assert (cut / "log.jsonl").read_text() == (whole / "log.jsonl").read_text()
    ours, theirs = (keras.saving.load_model(run / "model.keras", compile=False) for run in (cut, whole))
    for left, right in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_schedule_reads_steps_tokens_and_seconds(
    tiny_corpus: Any, tiny_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schedule by tokens is one entry; resumed, it goes on where it was."""

    def by_tokens(config: Any, steps: int, clock: Any) -> Any:
        class ByTokens(keras.optimizers.schedules.LearningRateSchedule):
            def __call__(self, step: Any) -> Any:
                tf.debugging.assert_equal(tf.cast(step, tf.int64), clock.step)
                return 1e-3 * tf.exp(-tf.cast(clock.tokens, tf.float32) / 2000.0)

        return ByTokens()

    monkeypatch.setitem(build.SCHEDULES, "linear", by_tokens)
    run = tmp_path / "run"
    pretrain(tiny_config(), str(tiny_corpus.directory), str(run), show_progress=False)
    log = (run / "log.jsonl").read_text()
    rows = [row for row in map(json.loads, log.splitlines()) if row["split"] == "train"]
    tokens = [row["tokens"] for row in rows]
    np.testing.assert_allclose(
        [row["learning_rate"] for row in rows], 1e-3 * np.exp(-np.array(tokens) / 2000.0), rtol=1e-5
    )
    for name in ("results.json", "model.keras", "checkpoints/step-24.index"):
        (run / name).unlink()
    pretrain(tiny_config(), str(tiny_corpus.directory), str(run), show_progress=False)
    assert (run / "log.jsonl").read_text() == log


def test_the_cross_entropy_is_computed_once(
    tiny_corpus: Any, tiny_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and sums of a step come from one pass over the logits of each head."""
    calls = []
    original = tf.nn.sparse_softmax_cross_entropy_with_logits
    monkeypatch.setattr(
        tf.nn,
        "sparse_softmax_cross_entropy_with_logits",
        lambda **arguments: (calls.append(1), original(**arguments))[1],
    )
    config = tiny_config().task
    model_config = dataclasses.replace(config.model, encoder=dataclasses.replace(config.model.encoder, vocab_size=50))
    task = MaskedLMTask(dataclasses.replace(config, model=model_config))
    model = task.build_model()
    batch = next(iter(build_dataset(dataclasses.replace(config.train_data, input_path=str(tiny_corpus.directory)))))
    labels, outputs = task.forward(batch, model, training=False)
    scored = score_all(task.objectives, labels, outputs)
    loss = task.build_losses(labels, outputs, None, scored=scored)
    sums = {name: float(value) for name, value in batch_sums(task.objectives, scored).items()}
    assert len(calls) == 2  # One for each of the two heads.
    assert means(task.objectives, sums)["loss"] == pytest.approx(float(loss), rel=1e-6)
