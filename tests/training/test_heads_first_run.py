"""Runs that first train the heads that their model lacked."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.commands.common import printed_messages
from pipeline.config.tree import apply_overrides, from_dict
from pipeline.training.configs import ExperimentConfig
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.safetensors_file import read_safetensors, write_safetensors
from pipeline.training.exchange.start import fill_in_model
from pipeline.training.loop.step_loop import StepLoop
from pipeline.training.run import pretrain
from tests.training.test_distribution import finish, start
from tests.training.test_run import Killed, read_log, read_weights

VALUES: dict[str, Any] = {
    "task": {
        # Dropout is on: its random state must be resumed as well.
        "model": {"cls_heads": [{"name": "next_sentence", "inner_dim": 16, "dropout_rate": 0.1}]},
        "train_data": {"global_batch_size": 16, "shuffle_buffer_size": 32},
        "validation_data": {"global_batch_size": 16},
    },
    "trainer": {
        "train_steps": 12,
        "heads_only_steps": 6,
        "accumulation_steps": 2,
        "optimizer": {"learning_rate": 5e-3, "warmup_steps": 2},
        "summary_interval": 1,
        "validation_interval": 4,
        "checkpoint_interval": 4,
        "max_to_keep": 9,
        "pseudo_tokens": 0,
        "example": "w00 w01 [MASK] w03 [MASK]",
    },
}
SAID = ("steps 1 to 6 train only what was lacking of the masked-LM and the next_sentence head", "step 6: from here on")


@pytest.fixture(scope="module")
def encoder(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with an encoder alone."""
    folder = tmp_path_factory.mktemp("encoders") / "encoder"
    export_huggingface(trained, str(folder))
    path = str(folder / "model.safetensors")
    weights = read_safetensors(path)
    write_safetensors(path, {n: value for n, value in weights.items() if "pooler" not in n and n[:4] != "cls."}, {})
    return folder


def config_from(model: Path, *overrides: str) -> ExperimentConfig:
    return apply_overrides(from_dict(ExperimentConfig, fill_in_model(VALUES, str(model))), overrides)


def train(config: ExperimentConfig, corpus: Any, run: Path) -> str:
    """Trains; returns what was said."""
    with contextlib.redirect_stdout(io.StringIO()) as said, printed_messages():
        pretrain(config, str(corpus.directory), str(run), show_progress=False)
    return said.getvalue()


def checkpoint(run: Path, step: int) -> dict[str, Any]:
    """What a checkpoint holds, by its names, without their ends."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"step-{step}"))
    names = [name for name in reader.get_variable_to_shape_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    return {name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): reader.get_tensor(name) for name in names}


@pytest.fixture(scope="module")
def undisturbed(encoder: Path, tiny_corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run, and what it said."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    return run, train(config_from(encoder), tiny_corpus, run)


def test_all_else_is_frozen_at_first(undisturbed: tuple[Path, str], trained: Any) -> None:
    run, said = undisturbed
    assert 0 < said.index(SAID[0]) < said.index(SAID[1])
    states = [checkpoint(run, step) for step in (4, 8, 12)]
    weights = [name for name in states[0] if name.startswith("model/")]
    moved, later = (
        {name for name in weights if (one[name] != other[name]).any()} for one, other in itertools.pairwise(states)
    )
    assert moved == later  # Steps 7 and 8 train everything.
    # In the steps before, only the heads had gradients: the optimiser has moments of them alone.
    heads = json.loads(states[0]["heads_first/paths"])
    assert len(heads) == 9
    moments = [[n for n in state if n.endswith("_velocity") and state[n].any()] for state in states[:2]]
    assert (len(moments[0]), len(moments[1])) == (len(heads), len(moved))
    table = next(name for name in weights if "word_embeddings" in name)
    expected = np.asarray(trained.model.encoder_network.word_embeddings.embeddings)
    np.testing.assert_array_equal(states[0][table], expected)


def test_a_run_that_was_killed_goes_on_exactly(
    undisturbed: tuple[Path, str], encoder: Path, tiny_corpus: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Within these steps, from a checkpoint that is within them, too. The model that it started from may be gone."""
    make_steps, calls = StepLoop.__call__, []

    def make_steps_or_die(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > 5:
            raise Killed
        return make_steps(*arguments, **options)

    run, config = tmp_path / "run", config_from(encoder, "trainer.steps_per_loop=1")
    with monkeypatch.context() as patch:
        patch.setattr(StepLoop, "__call__", make_steps_or_die)
        with pytest.raises(Killed):
            train(config, tiny_corpus, run)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.training.run.read_source", None)  # It is not read again.
        said = train(config, tiny_corpus, run)
    assert "continuing from step 4" in said
    assert SAID[1] in said
    assert read_log(run) == read_log(undisturbed[0])
    assert read_weights(run) == read_weights(undisturbed[0])


@pytest.mark.slow
def test_a_process_that_is_killed_in_these_steps(
    undisturbed: tuple[Path, str], encoder: Path, tiny_corpus: Any, tmp_path: Path
) -> None:
    run, log = tmp_path / "run", tmp_path / "run" / "log.jsonl"
    config = config_from(encoder, "trainer.steps_per_loop=1")
    for rows in (3, 7):
        process = start(config, tiny_corpus.directory, run)
        while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= rows):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL)
    finish(start(config, tiny_corpus.directory, run))
    assert read_log(run) == read_log(undisturbed[0])
    assert read_weights(run) == read_weights(undisturbed[0])


@pytest.mark.slow
def test_two_devices_train_as_one_does(encoder: Path, write_corpus: Any, tmp_path: Path) -> None:
    from tests.training.test_distribution import assert_same

    corpus = write_corpus(tmp_path / "corpus", train=(160,)).directory
    exact = ["trainer.optimizer.epsilon=1.0", "task.model.cls_heads=[{name: next_sentence, inner_dim: 16}]"]
    exact += [f"task.model.encoder.{name}dropout_rate=0.0" for name in ("", "attention_")]
    config = config_from(encoder, *exact)
    finish(start(config, corpus, tmp_path / "alone"))
    said = finish(
        start(apply_overrides(config, ["runtime.distribution_strategy=mirrored"]), corpus, tmp_path / "run", devices=2)
    )
    assert SAID[1] in said
    assert_same(tmp_path / "run", tmp_path / "alone")
