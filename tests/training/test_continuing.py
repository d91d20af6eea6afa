"""The recipe that `--init-from` chooses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.config.tree import from_dict
from pipeline.training.configs import ExperimentConfig
from pipeline.training.continuing import continuing_recipe, fill_in_recipe
from pipeline.training.corpora import open_corpora
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.run_folder import RunFolder


@pytest.mark.parametrize(
    ("examples", "options", "expected"),
    [
        (5_000, {}, (32, 469, 5e-5, 29)),
        (40, {}, (16, 100, 3.5e-5, 6)),
        (100_000, {}, (256, 1172, 1.4e-4, 71)),
        (50_000_000, {}, (256, 12_500, 1.4e-4, 750)),
        (5_000, {"batch_size": 2048}, (2048, 100, 4e-4, 6)),
        (5_000, {"steps": 7}, (32, 7, 5e-5, 1)),
        (5_000, {"steps": 1}, (32, 1, 5e-5, 0)),
    ],
)
def test_it_follows_from_the_number_of_examples(
    examples: int, options: dict[str, int], expected: tuple[int, int, float, int]
) -> None:
    assert continuing_recipe(examples, **options) == expected


def test_what_is_set_stays(tiny_corpus: Any) -> None:
    corpora = open_corpora(str(tiny_corpus.directory))
    values = {"trainer": {"optimizer": {"learning_rate": 0.5}, "validation_interval": 7}}
    given = {"trainer.optimizer.learning_rate": 0.5, "trainer.validation_interval": 7, "trainer.train_steps": 50}
    filled, said = fill_in_recipe(values, given, corpora, None)
    config = from_dict(ExperimentConfig, {**filled, "trainer": {**filled["trainer"], "train_steps": 50}})
    assert (config.trainer.optimizer.learning_rate, config.trainer.optimizer.warmup_steps) == (0.5, 3)
    assert (config.trainer.validation_interval, config.trainer.checkpoint_interval) == (7, 5)
    assert config.task.train_data.global_batch_size == 16
    assert said == "chosen to continue a model on 160 examples: 16 examples per batch (--batch-size), a warm-up of 3"
    # A budget decides steps and warm-up.
    filled, said = fill_in_recipe({}, {"trainer.budget": "10m"}, corpora, None)
    assert "trainer" in filled
    assert list(filled["trainer"]) == ["optimizer"]
    assert "steps" not in said


def test_the_command_chooses_once_and_says_what(
    trained: Any, tiny_corpus: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_huggingface(trained, str(tmp_path / "model"))
    run = tmp_path / "run"
    command = [
        "pretrain",
        "--corpus",
        str(tiny_corpus.directory),
        "--init-from",
        str(tmp_path / "model"),
        "--no-progress",
    ]
    command += ["--run", str(run), "--trainer.example", "w01 [MASK]", "--trainer.pseudo-tokens", "0", "--steps", "20"]
    assert main(command) == 0
    said = (
        "chosen to continue a model on 160 examples: 16 examples per batch (--batch-size), a learning rate of 3.5e-05"
    )
    assert said in capsys.readouterr().out
    held = RunFolder(str(run)).held_config()
    assert held.trainer.train_steps == 20
    assert math.isclose(held.trainer.optimizer.learning_rate, 3.5e-5)
    assert held.trainer.optimizer.warmup_steps == 2
    # A run that has begun keeps what was chosen, also by a version that chose otherwise.
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("warmup_steps: 2", "warmup_steps: 1"))
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "already finished" in shown
    assert "chosen to continue" not in shown
