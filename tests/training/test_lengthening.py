"""More steps for a finished run: the numbers, resuming, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline import cli
from pipeline.config.tree import dump_yaml
from pipeline.errors import ConfigError, InputError
from pipeline.training.configs import TrainerConfig
from pipeline.training.lengthening import describe_lengthening, longer_config
from pipeline.training.optimization.build import build_schedule
from pipeline.training.run import pretrain
from pipeline.training.run_folder import RunFolder

OPTIMIZER = {"learning_rate": 5e-3, "warmup_steps": 4, "ema_decay": 0.8, "end_learning_rate": 1e-4}


@pytest.fixture(scope="module")
def finished(tiny_corpus: Any, tmp_path_factory: pytest.TempPathFactory, tiny_config: Any) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    pretrain(tiny_config(optimizer=OPTIMIZER), str(tiny_corpus.directory), str(run), show_progress=False)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def held(run: Path, step: int) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"step-{step}"))
    groups = ("model/", "optimizer/", "averages/", "counters/step", "counters/tokens")
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith(groups)}


def more(run: Path, steps: int, *options: str) -> int:
    return cli.main(["pretrain", "--run", str(run), "--more-steps", str(steps), "--no-progress", *options])


def test_the_schedule_comes_once_more_and_all_else_goes_on(run: Path, capsys: Any) -> None:
    before = log(run)
    assert more(run, 30) == 0
    shown = capsys.readouterr().out
    assert (
        "30 more steps after step 24, with the same optimiser state and position in the data; the learning rate rises"
        " again" in shown
    )
    assert "over 3 steps to 0.00451, then falls (linear) to 0.0001 at step 54" in shown
    assert "continuing from step 24" in shown
    rows = log(run)
    assert rows[: len(before)] == before
    rates = {row["step"]: row["learning_rate"] for row in rows if row["split"] == "train"}
    assert sorted(rates) == list(range(1, 55))
    # As that of a run of 30 steps: the rate is that at the beginning of the next step.
    peak = 1e-4 + (5e-3 - 1e-4) * 27 / 30
    np.testing.assert_allclose([rates[26], rates[27], rates[53]], [peak * 2 / 3, peak, 1e-4 + 4.9e-3 / 30], rtol=1e-4)
    np.testing.assert_allclose([rates[24], rates[54]], 1e-4, rtol=1e-4)
    reached = held(run, 54)
    assert int(reached["counters/step/.ATTRIBUTES/VARIABLE_VALUE"]) == 54
    assert rows[-1]["step"] == 54
    results = json.loads((run / "results.json").read_text())
    assert results["steps"] == 54
    assert results["tokens"] == [row["tokens"] for row in rows if row["split"] == "train"][-1]
    noted = RunFolder(str(run)).held_config().trainer
    assert (noted.train_steps, noted.restart_step, noted.optimizer.warmup_steps) == (54, 24, 3)
    # And again, with a peak of one's own.
    assert more(run, 4, "--learning-rate", "0.001", "--trainer.optimizer.warmup-steps", "1") == 0
    rates = {row["step"]: row["learning_rate"] for row in log(run) if row["split"] == "train"}
    np.testing.assert_allclose(rates[55], 1e-4 + 9e-4 * 3 / 4, rtol=1e-4)
    assert json.loads((run / "results.json").read_text())["steps"] == 58


def test_it_is_resumed_exactly(run: Path, tmp_path: Path, capsys: Any) -> None:
    """By the same command, after a kill; the corpus may be named, and is the run's otherwise."""
    assert more(run, 12) == 0
    whole = held(run, 36)
    for path in [run / "results.json", run / "model.keras", *run.glob("checkpoints/step-36*")]:
        path.unlink()
    capsys.readouterr()
    assert more(run, 12) == 0
    assert "continuing from step 35" in capsys.readouterr().out
    resumed = held(run, 36)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    (run / "results.json").unlink()
    assert more(run, 13) == 2
    assert "must finish its 36 steps before it can be given more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("decay", "said", "rates"),
    [
        ("constant", "stays 0.005", [5e-3, 5e-3, 5e-3]),
        ("wsd", "rises again over 2 steps to 0.005, then falls (wsd) to 0.0001 at step 44", [2.5e-3, 5e-3, 5e-3]),
        ("triangle", "rises again over 2 steps to 0.005", [2.5e-3, 5e-3, 5e-3 - 4.9e-3 / 18]),
    ],
)
def test_other_schedules(run: Path, decay: str, said: str, rates: list[float]) -> None:
    folder = RunFolder(str(run))
    values = folder.held_config()
    text = dump_yaml(values).replace("decay: linear", f"decay: {decay}")
    if decay == "wsd":
        text = text.replace("decay_steps: null", "decay_steps: 19")
    (run / "config.yaml").write_text(text)
    trainer = longer_config(str(run), 20, {}).trainer
    assert said in describe_lengthening(trainer)
    schedule = build_schedule(trainer)
    found = [float(schedule(step)) for step in (25, 26, 27)]
    expected = rates if decay != "wsd" else [2.5e-3, 5e-3, float(schedule(27))]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    end = 5e-3 if decay == "constant" else 1e-4
    np.testing.assert_allclose(float(schedule(44)), end, rtol=1e-4)


def test_what_cannot_be_is_refused(run: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        longer_config(str(run), 0, {})
    with pytest.raises(InputError, match="must be the directory of a pre-training run"):
        longer_config(str(tmp_path / "nowhere"), 5, {})
    with pytest.raises(ConfigError, match=r"use its configuration. Received: task.model.encoder.num_layers is 1 there"):
        longer_config(str(run), 5, {"task": {"model": {"encoder": {"num_layers": 2}}}})
    with pytest.raises(ConfigError, match=r"Received: trainer.train_steps is 29 there and 99 now"):
        longer_config(str(run), 5, {}, ["trainer.train_steps=99"])
    assert more(run, 5, "--budget", "30m") == 2
    assert "--budget cannot be used with --more-steps" in capsys.readouterr().err
    assert more(run, 5, "--decay-from", str(run)) == 2
    assert "--decay-from and --more-steps cannot be used together" in capsys.readouterr().err
    shutil.rmtree(run / "checkpoints")
    assert more(run, 5) == 2
    assert "must contain the last checkpoint, from which more steps continue" in capsys.readouterr().err
    assert RunFolder(str(run)).held_config().trainer.train_steps == 24
    (run / "results.json").unlink()
    with pytest.raises(ConfigError, match="must finish its 24 steps before it can be given more"):
        longer_config(str(run), 5, {})


def test_a_restart_leaves_steps() -> None:
    with pytest.raises(ConfigError, match="restart_step must be less than train_steps"):
        TrainerConfig(train_steps=100, restart_step=100)
    with pytest.raises(ConfigError, match="warmup_steps must be less than train_steps after restart_step"):
        TrainerConfig(train_steps=10_100, restart_step=100)
