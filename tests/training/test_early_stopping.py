"""Runs that end when the validation loss no longer falls."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.errors import ConfigError
from pipeline.training.configs import TrainerConfig
from pipeline.training.run import pretrain
from pipeline.training.run_folder import RunFolder

# Learns at first, and forgets again, as the rate is far too high for the rest.
STOPPING = {
    "train_steps": 60,
    "validation_interval": 2,
    "early_stopping": 3,
    "optimizer": {"learning_rate": 0.3, "warmup_steps": 8, "decay": "constant"},
}


def validations(run: Path) -> dict[int, float]:
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return {row["step"]: row["lm_example_loss"] for row in rows if row["split"] == "validation"}


@pytest.fixture(scope="module")
def stopped(tiny_corpus: Any, tiny_config: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("stopped") / "run"
    pretrain(tiny_config(**STOPPING), str(tiny_corpus.directory), str(run), show_progress=False)
    return run


def test_it_ends_after_three_evaluations_without_a_lower_loss(stopped: Path, capsys: Any) -> None:
    losses = validations(stopped)
    best = min(losses, key=lambda step: losses[step])
    results = json.loads((stopped / "results.json").read_text())
    assert results["steps"] == max(losses) == best + 3 * 2 < 60
    assert results["model_step"] == best
    assert results["stopped_early"] == {"planned_steps": 60, "evaluations": 3}
    earlier = [step for step in losses if step < best]
    for step in earlier:  # It did not go on for three evaluations before.
        assert min(losses[s] for s in losses if step < s <= step + 6) < min(losses[s] for s in losses if s <= step)


def test_the_best_weights_are_the_model(stopped: Path, capsys: Any) -> None:
    assert main(["evaluate", "--run", str(stopped), "--json", "--pseudo-tokens", "0", "--no-progress"]) == 0
    losses = validations(stopped)
    found = json.loads(capsys.readouterr().out)["corpus"]
    np.testing.assert_allclose(found["masked_lm"]["all"]["loss"], min(losses.values()), rtol=1e-4)


def test_the_same_command_shows_it_and_a_killed_one_ends_there(
    stopped: Path, tiny_corpus: Any, tiny_config: Any, tmp_path: Path, capsys: Any
) -> None:
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    again = pretrain(tiny_config(**STOPPING), str(tiny_corpus.directory), str(run), show_progress=False)
    shown = capsys.readouterr().out
    assert "already finished" in shown
    assert "stopped early, after 3 evaluations without a lower masked-LM loss; 60 steps were planned" in shown
    assert again == json.loads((stopped / "results.json").read_text())
    for name in ("results.json", "model.keras"):
        (run / name).unlink()
    found = pretrain(tiny_config(**STOPPING), str(tiny_corpus.directory), str(run), show_progress=False)
    assert found["steps"] == again["steps"]
    assert found["model_step"] == again["model_step"]
    assert (run / "log.jsonl").read_bytes() == (stopped / "log.jsonl").read_bytes()


def test_more_steps_have_their_own_patience(stopped: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    ended = json.loads((run / "results.json").read_text())["steps"]
    options = ["--trainer.early-stopping", "2", "--learning-rate", "0.3", "--no-progress"]
    assert main(["pretrain", "--run", str(run), "--more-steps", "20", *options]) == 0
    results = json.loads((run / "results.json").read_text())
    assert results["steps"] == ended + 4  # The rate is as bad as before.
    assert RunFolder(str(run)).held_config().trainer.restart_step == ended


@pytest.mark.parametrize(
    ("step", "best", "restart", "ends"),
    [(30, 0, None, False), (20, 10, None, False), (30, 10, None, True), (31, 19, 21, False), (40, 10, 21, True)],
)
def test_evaluations_since_the_best(step: int, best: int, restart: int | None, ends: bool) -> None:
    trainer = TrainerConfig(train_steps=20_000, validation_interval=10, early_stopping=2, restart_step=restart)
    assert trainer.has_stopped_early(step, best) is ends
    assert not TrainerConfig().has_stopped_early(step, best)


def test_without_validation_examples_it_is_refused(write_corpus: Any, tiny_config: Any, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", validation=())
    with pytest.raises(ConfigError, match="early_stopping needs validation examples"):
        pretrain(tiny_config(early_stopping=1), str(corpus.directory), str(tmp_path / "run"), show_progress=False)
    assert not (tmp_path / "run").exists()
