"""`--steps`, `--batch-size` and `--learning-rate` of `pretrain`."""

from __future__ import annotations

import argparse
import re

import pytest

from pipeline.commands import pretrain as command
from pipeline.errors import ConfigError
from pipeline.training.configs import ExperimentConfig


def parsed(*flags: str) -> ExperimentConfig:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    return command.read_config(parser.parse_args(["pretrain", "--run", "run", "--corpus", "corpus", *flags]))


def test_they_are_options_by_other_names() -> None:
    long = ("--trainer.train-steps", "20000", "--trainer.optimizer.learning-rate", "0.00001")
    short = ("--steps", "20000", "--learning-rate", "1e-5", "--batch-size", "64")
    found = parsed(*short)
    assert found == parsed(*long, "--params-override", "task.train_data.global_batch_size=64")
    assert found.trainer.train_steps == 20000
    assert found.trainer.optimizer.learning_rate == 1e-5
    assert found.task.train_data.global_batch_size == 64
    assert parsed(*short, *long) == found  # The same twice is no contradiction.


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--steps", "20000", "--trainer.train-steps", "30000"),
            "--steps and trainer.train_steps are the same option. Received: 20000 and 30000. Use only one of them.",
        ),
        (
            ("--params-override", "trainer.optimizer.learning_rate=x", "--learning-rate", "0.1"),
            "--learning-rate and trainer.optimizer.learning_rate are the same option. Received: 0.1 and x.",
        ),
        (("--batch-size", "0"), "task.train_data.global_batch_size must be between 1 and "),
    ],
)
def test_what_is_refused(flags: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parsed(*flags)
