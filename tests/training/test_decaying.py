"""Decaying the learning rate from another run's checkpoint: the numbers, resuming, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline import cli
from pipeline.config.tree import apply_overrides, dump_yaml
from pipeline.errors import ConfigError, CorpusError, InputError, OutputError
from pipeline.training.configs import TrainerConfig
from pipeline.training.corpora import open_corpora
from pipeline.training.decaying import corpora_to_decay_on, decay_config
from pipeline.training.run import pretrain, resolve
from pipeline.training.run_folder import RunFolder

# With all that a checkpoint may hold. The decay begins with a checkpoint, in the middle of a window of the log.
OPTIMIZER = {"type": "muon", "learning_rate": 5e-3, "warmup_steps": 4, "ema_decay": 0.8, "end_learning_rate": 1e-4}
TRAINER = {"max_to_keep": 9, "checkpoint_interval": 5, "summary_interval": 2, "validation_interval": 9}
DECAY = ["trainer.optimizer.decay_steps=9"]


def held(run: Path, step: int) -> dict[str, np.ndarray]:
    """What a checkpoint holds, but for times and the best evaluation."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"step-{step}"))
    groups = ("model/", "optimizer/", "averages/", "sums/", "counters/step", "counters/tokens")
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith(groups)}


def log(run: Path, after: int) -> list[dict[str, Any]]:
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [row for row in rows if row["step"] > after]


def start(corpus: Path, run: Path, config: Any) -> dict[str, Any]:
    return pretrain(config, str(corpus), str(run), show_progress=False)


@pytest.fixture(scope="module")
def whole(tiny_corpus: Any, tmp_path_factory: pytest.TempPathFactory, tiny_config: Any) -> Path:
    """A run of 24 steps that decays over the last 9."""
    run = tmp_path_factory.mktemp("whole") / "run"
    start(tiny_corpus.directory, run, tiny_config(**TRAINER, optimizer={**OPTIMIZER, "decay": "wsd", "decay_steps": 9}))
    return run


@pytest.fixture
def stable(whole: Path, tmp_path: Path) -> Path:
    """That run as a kill left it after step 15, planned for many more steps without a decay."""
    run = tmp_path / "stable"
    shutil.copytree(whole, run)
    for path in [run / "model.keras", run / "results.json", run / "log.jsonl", *run.glob("checkpoints/step-2*")]:
        path.unlink()
    planned = RunFolder(str(run)).held_config()
    optimizer = dataclasses.replace(planned.trainer.optimizer, decay="constant", decay_steps=None)
    trainer = dataclasses.replace(planned.trainer, train_steps=5000, budget="30m", optimizer=optimizer)
    (run / "config.yaml").write_text(dump_yaml(dataclasses.replace(planned, trainer=trainer)))
    return run


def test_it_ends_as_the_run_that_was_to_decay_there(
    whole: Path, stable: Path, tiny_corpus: Any, tmp_path: Path
) -> None:
    """To the bit: weights, moments, averages, losses, learning rates. And the run that it is from stays as it was.

    A start that was cut short before the first checkpoint is made again.
    """
    before = {path: path.read_bytes() for path in stable.rglob("*") if path.is_file()}
    run = tmp_path / "decayed"
    config, corpora = decay_config(str(stable), str(run), {}, DECAY), open_corpora(str(tiny_corpus.directory))
    RunFolder(str(run)).open(resolve(config, corpora), corpora)
    assert decay_config(str(stable), str(run), {}, DECAY) == config
    results = start(tiny_corpus.directory, run, config)
    assert results["steps"] == 24
    found, expected = held(run, 24), held(whole, 24)
    assert found.keys() == expected.keys()
    assert len(found) > 80
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert log(run, 0) == log(whole, 15)
    assert {path: path.read_bytes() for path in stable.rglob("*") if path.is_file()} == before
    origin = json.loads((run / "run.json").read_text())["decay_from"]
    assert (origin["run"], origin["step"]) == (str(stable), 15)
    noted = RunFolder(str(run)).held_config().trainer
    assert (noted.decay_from, noted.train_steps) == (f"{stable}/checkpoints/step-15", 24)
    assert noted.optimizer.learning_rate == 5e-3


def test_it_goes_on_without_the_other_run(
    whole: Path, stable: Path, tiny_corpus: Any, tmp_path: Path, capsys: Any
) -> None:
    """From its own copy of the checkpoint, by the same command, even where the other run has gone further."""
    run = tmp_path / "decayed"
    config = decay_config(str(stable), str(run), {}, DECAY)
    start(tiny_corpus.directory, run, config)
    for path in [run / "model.keras", run / "results.json", *run.glob("checkpoints/step-2*")]:
        path.unlink()
    shutil.rmtree(stable)
    assert decay_config(f"{stable}/", str(run), {}, DECAY) == config
    assert corpora_to_decay_on(str(stable), str(run)) == [str(tiny_corpus.directory)]
    capsys.readouterr()
    command = ["pretrain", "--decay-from", str(stable), "--run", str(run), "--trainer.optimizer.decay-steps", "9"]
    assert cli.main([*command, "--no-progress"]) == 0
    assert f"{run}: continuing from step 15" in capsys.readouterr().out
    found, expected = held(run, 24), held(whole, 24)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert log(run, 0) == log(whole, 15)


def test_earlier_checkpoints_and_other_ends(stable: Path, tmp_path: Path) -> None:
    """The rate is that of the step: while it rises, less than the peak."""
    path, run = f"{stable}/checkpoints/step-5", str(tmp_path / "run")
    chosen = {"trainer": {"optimizer": {"decay_form": "linear", "end_learning_rate": 1e-5}, "max_to_keep": 1}}
    trainer = decay_config(path, run, chosen, ["trainer.optimizer.decay_steps=100"]).trainer
    assert (trainer.train_steps, trainer.max_to_keep, trainer.decay_from) == (105, 1, path)
    optimizer = trainer.optimizer
    assert (optimizer.decay, optimizer.decay_form, optimizer.warmup_steps) == ("wsd", "linear", 0)
    assert (optimizer.learning_rate, optimizer.end_learning_rate) == (5e-3, 1e-5)
    rising = apply_overrides(RunFolder(str(stable)).held_config(), ["trainer.optimizer.warmup_steps=10"])
    (stable / "config.yaml").write_text(dump_yaml(rising))
    assert decay_config(path, run, {}, DECAY).trainer.optimizer.learning_rate == pytest.approx(2.5e-3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], r"--decay-from needs the number of steps.*--trainer\.optimizer\.decay-steps 10000"),
        ([*DECAY, "trainer.optimizer.type=adamw"], r"trainer\.optimizer\.type is 'muon' there and 'adamw' now\. Leave"),
        ([*DECAY, "trainer.optimizer.learning_rate=1.0"], r"optimizer\.learning_rate is 0\.005 there and 1\.0 now"),
        ([*DECAY, "trainer.train_steps=30"], r"Received: trainer\.train_steps is"),
        ([*DECAY, "task.train_data.global_batch_size=8"], r"global_batch_size is 16 there and 8 now"),
        ([*DECAY, "trainer.optimizer.end_learning_rate=0.1"], r"step-15 must be above end_learning_rate, 0\.1.*0\.005"),
    ],
)
def test_other_options_are_refused(stable: Path, tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decay_config(str(stable), str(tmp_path / "run"), {}, overrides)


def test_what_is_not_there_is_told(stable: Path, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    with pytest.raises(
        InputError, match=r"must contain the checkpoint of step 7\. Received: step-5, step-10, step-15\. "
    ):
        decay_config(f"{stable}/checkpoints/step-7", run, {}, DECAY)
    with pytest.raises(InputError, match="no such directory"):
        decay_config(str(tmp_path / "nowhere"), run, {}, DECAY)
    shutil.rmtree(stable / "checkpoints")
    with pytest.raises(InputError, match=r"must contain a checkpoint\. Received: none"):
        decay_config(str(stable), run, {}, DECAY)


def test_another_corpus_and_a_configuration_by_hand_are_refused(
    stable: Path, tiny_corpus: Any, write_corpus: Any, tmp_path: Path
) -> None:
    config = decay_config(str(stable), str(tmp_path / "run"), {}, DECAY)
    other = write_corpus(tmp_path / "other", train=(60,)).directory
    with pytest.raises(CorpusError, match=r"must be that of .*stable.*Received: .*other\. Leave --corpus out"):
        start(other, tmp_path / "run", config)
    by_hand: Mapping[str, str] = {
        "trainer.optimizer.beta_1=0.5": r"the configuration of that run\. Received: trainer\.optimizer\.beta_1 is 0\.9",
        "trainer.optimizer.learning_rate=0.004": r"learning_rate must be that of .*step-15, 0\.005\. Received: 0\.004",
        "trainer.optimizer.end_learning_rate=0.006": "must be above end_learning_rate",
    }
    for override, message in by_hand.items():
        with pytest.raises(ConfigError, match=message):
            start(tiny_corpus.directory, tmp_path / "run", apply_overrides(config, [override]))
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_told(stable: Path, tiny_corpus: Any, tmp_path: Path) -> None:
    config = decay_config(str(stable), str(tmp_path / "run"), {}, DECAY)
    with (stable / "checkpoints" / "step-15.data-00000-of-00001").open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(OutputError, match=r"stable/checkpoints must contain a complete checkpoint"):
        start(tiny_corpus.directory, tmp_path / "run", config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "pretrain needs examples to train on. Specify a corpus with --corpus, or records with --input"),
        (["--decay-from", "x", "--init-from", "y"], "--init-from cannot be used with --decay-from"),
        (["--decay-from", "x", "--experiment", "bert-tiny"], "--experiment cannot be used with --decay-from"),
        (["--decay-from", "x", "--input", "y", "--vocab", "z"], "--input cannot be used with --decay-from"),
        (["--decay-from", "x", "--corpus", "y", "--until", "9%"], "--until cannot be used with --decay-from"),
    ],
)
def test_flags_that_do_not_go_together(words: list[str], message: str, tmp_path: Path, capsys: Any) -> None:
    assert cli.main(["pretrain", "--run", str(tmp_path / "run"), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("decay_from", ["out/run", "checkpoints/step-5", "out/run/checkpoints/step-x"])
def test_the_option_names_a_checkpoint(decay_from: str) -> None:
    with pytest.raises(ConfigError, match=r"must be a checkpoint of a run, RUN/checkpoints/step-N"):
        TrainerConfig(decay_from=decay_from)
    with pytest.raises(ConfigError, match="needs decay=wsd, and train_steps that exceed decay_steps by 5"):
        TrainerConfig(decay_from="out/run/checkpoints/step-5")
