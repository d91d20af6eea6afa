"""Runs that keep an average of their weights: what it is used for, and that nothing else changes by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.tree import apply_overrides
from pipeline.training.evaluation.evaluate import evaluate_corpus
from pipeline.training.exchange.trained_model import load_run
from pipeline.training.run import pretrain

OPTIMIZER = {"learning_rate": 5e-3, "warmup_steps": 4}


def start(corpus: Path, run: Path, config: Any) -> dict[str, Any]:
    return pretrain(config, str(corpus), str(run), show_progress=False)


def held(run: Path, group: str, step: int = 24) -> dict[str, np.ndarray]:
    """The variables of a group in a checkpoint, by their keys."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"step-{step}"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith(f"{group}/")]
    return {name.removeprefix(group): reader.get_tensor(name) for name in names}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    assert found
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def weights_of(run: Path) -> dict[str, np.ndarray]:
    """The final model's weights, by their keys in checkpoints."""
    return {
        f"/{weight.path.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE": weight.numpy()
        for weight in load_run(str(run)).model.weights
    }


@pytest.fixture(scope="module")
def averaged(tiny_corpus: Any, tmp_path_factory: pytest.TempPathFactory, tiny_config: Any) -> Path:
    """Evaluated once, at its end."""
    run = tmp_path_factory.mktemp("averaged") / "run"
    config = tiny_config(validation_interval=24, optimizer={**OPTIMIZER, "ema_decay": 0.8})
    start(tiny_corpus.directory, run, config)
    return run


def test_the_model_is_the_average(averaged: Path, tiny_corpus: Any) -> None:
    averages, weights = held(averaged, "averages"), held(averaged, "model")
    assert_same(weights_of(averaged), averages)
    assert any((averages[name] != weights[name]).any() for name in weights)
    results = json.loads((averaged / "results.json").read_text())
    found = evaluate_corpus(load_run(str(averaged)), str(tiny_corpus.directory))
    assert found["loss"] == pytest.approx(results["validation"]["loss"], rel=1e-5)


def test_training_is_as_without(averaged: Path, tiny_corpus: Any, tmp_path: Path, tiny_config: Any) -> None:
    """Evaluations, and the changing of places for them, leave no trace."""
    config = tiny_config(validation_interval=3, optimizer=OPTIMIZER)
    start(tiny_corpus.directory, tmp_path / "run", config)
    assert_same(held(averaged, "model"), held(tmp_path / "run", "model"))
    assert_same(held(averaged, "optimizer"), held(tmp_path / "run", "optimizer"))
    assert not held(tmp_path / "run", "averages")


def test_a_run_goes_on_with_its_averages(
    averaged: Path, tiny_corpus: Any, tmp_path: Path, tiny_config: Any, capsys: Any
) -> None:
    run = tmp_path / "run"
    shutil.copytree(averaged, run)
    for path in [run / "results.json", run / "model.keras", *(run / "checkpoints").rglob("step-2*")]:
        path.unlink()
    config = tiny_config(validation_interval=24, optimizer={**OPTIMIZER, "ema_decay": 0.8})
    start(tiny_corpus.directory, run, config)
    shown = capsys.readouterr().out
    assert f"{run}: continuing from step 15" in shown
    assert f"{run}: evaluations and the final model use the average of the weights, with decay 0.8" in shown
    assert_same(held(run, "averages"), held(averaged, "averages"))
    assert_same(weights_of(run), weights_of(averaged))


@pytest.mark.slow
def test_without_an_evaluation_the_model_is_the_last_average(
    write_corpus: Any, tmp_path: Path, tiny_config: Any
) -> None:
    corpus = write_corpus(tmp_path / "corpus", validation=()).directory
    start(corpus, tmp_path / "run", tiny_config(train_steps=6, optimizer={**OPTIMIZER, "ema_decay": 0.8}))
    assert_same(weights_of(tmp_path / "run"), held(tmp_path / "run", "averages", 6))


@pytest.mark.slow
def test_averages_start_from_the_weights_that_the_run_starts_from(
    averaged: Path, tiny_corpus: Any, tmp_path: Path, tiny_config: Any
) -> None:
    """After a step without a learning rate, both are what they were."""
    config = tiny_config(train_steps=1, optimizer={"learning_rate": 0.0, "warmup_steps": 0, "ema_decay": 0.999})
    config = apply_overrides(config, [f"task.init_checkpoint={averaged}"])
    start(tiny_corpus.directory, tmp_path / "run", config)
    found, expected = held(tmp_path / "run", "averages", 1), weights_of(averaged)
    trained = [name for name in expected if "pooler_transform" not in name]
    for name in trained:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
