"""What a run shows on the way, in a terminal and without one, and what TensorBoard gets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.loop import progress as progress_module
from pipeline.training.loop.plateau import Plateau
from pipeline.training.loop.progress import Progress
from pipeline.training.loop.validation import Evaluation
from pipeline.training.run_folder import RunFolder

ROW = {"loss": 10.125, "lm_example_loss": 9.5, "masked_lm_accuracy": 0.123, "learning_rate": 1e-4, "gradient_norm": 2.0}
MEANS = {"loss": 5.75, "lm_example_loss": 5.0, "masked_lm_accuracy": 0.25}
SENTENCES = {"next_sentence_loss": 0.75, "next_sentence_accuracy": 0.5}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that it shows; to be set."""
    seconds = [0.0]
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: seconds[0])
    return seconds


def events(directory: Path) -> dict[str, Any]:
    """The last value of each tag, with its plugin."""
    found = {}
    for path in directory.iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
                found[value.tag] = tf.make_ndarray(value.tensor).tolist(), value.metadata.plugin_data.plugin_name
    return found


def run(folder: Path, *, shows: bool = True, plateau: Plateau | None = None, stderr: Any = None) -> Progress:
    folder.mkdir()
    (folder / "config.yaml").write_text("trainer:\n  train_steps: 1000000\n")
    with contextlib.redirect_stderr(stderr or sys.stderr):
        return Progress(RunFolder(str(folder)), 1_000_000, 999_000, shows=shows, writes=True, plateau=plateau)


def test_the_bar_fits_a_terminal_of_80_columns(tmp_path: Path, capsys: Any, clock: list[float]) -> None:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(slave, "w", encoding="utf-8") as terminal, run(tmp_path / "run", stderr=terminal) as progress:
        progress.advance()
        progress.note_training(999_001, ROW, tokens=10**12, tokens_per_second=1_234_567.0)
        progress._bar.start_t -= 36_000  # As if the step had taken ten hours: the longest time left that there is.
        progress._bar.refresh()
        progress.note_validation(999_001, Evaluation(MEANS, {}, {}))
        shown = os.read(master, 10_000).decode()
    os.close(master)
    drawn = [line for line in re.split(r"[\r\n]", shown) if line.strip()]
    assert max(map(len, drawn)) <= 80
    fullest = next(line for line in reversed(drawn) if "acc" in line)
    assert re.search(r"999001/1000000 .* left, loss 10\.125, acc 0\.123, 1\.2M tok/s$", fullest)
    assert re.match(r"100%\|.{6,}\|", fullest)
    # Evaluations are lines above it; summaries are in it.
    assert capsys.readouterr().out == "step 999,001: validation loss 5.000, accuracy 0.250\n"


@pytest.mark.parametrize("shows", [True, False])
def test_plain_lines_without_a_terminal(tmp_path: Path, capsys: Any, clock: list[float], shows: bool) -> None:
    """Also with --no-progress: only the bar goes."""
    plateau = Plateau(6.5, warmup_steps=0, train_steps=1_000_000)
    with run(tmp_path / "run", shows=shows, plateau=plateau) as progress:
        for _ in range(13):
            progress.advance()
            clock[0] += 5.0
        progress.note_training(999_013, ROW, tokens=10**6, tokens_per_second=1234.5)
        progress.note_validation(999_013, Evaluation(MEANS | SENTENCES, {}, {"general": {"loss": 5.5}}))
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines() == [
        "step 999,007: 5 seconds per step, about 1 h 23 min left",  # The first step counts only to compile.
        "step 999,013 of 1,000,000: loss 10.125, accuracy 0.123, 1,234 tokens/s, about 1 h 22 min left",
        "step 999,013: validation loss 5.750; masked-LM 5.000, 1.50 nats below the unigram baseline of 6.50,"
        " accuracy 0.250; next-sentence 0.750, accuracy 0.500; general 5.500",
    ]


def test_a_process_that_writes_nothing_shows_nothing(tmp_path: Path, capsys: Any) -> None:
    with Progress(RunFolder(str(tmp_path)), 9, 0, shows=True, writes=False) as progress:
        progress.advance()
        progress.note_training(1, ROW, tokens=10, tokens_per_second=1.0)
        progress.note_validation(1, Evaluation(MEANS, {}, {}))
    assert capsys.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_tags_of_tensorboard(tmp_path: Path) -> None:
    """In groups; the log keeps its names."""
    with run(tmp_path / "run") as progress:
        progress.note_training(
            999_001,
            {**ROW, **SENTENCES, "loss_scale": 4.0, "stage": 2, "batch_size": 64},
            tokens=10**6,
            tokens_per_second=1234.5,
            sources={"general": {"epochs": 0.5}},
        )
        histograms = {"right_token_probability/masked": np.ones(4)}
        progress.note_validation(999_001, Evaluation(MEANS, histograms, {}, "Paris is **the** capital."))
    train, validation = (events(tmp_path / f"run/summaries/{name}") for name in ("train", "validation"))
    texts = {"configuration": (b"    trainer:\n      train_steps: 1000000\n", "text")}
    numbers = {
        "loss/total": 10.125,
        "loss/masked_lm": 9.5,
        "loss/next_sentence": 0.75,
        "accuracy/masked_lm": 0.123,
        "accuracy/next_sentence": 0.5,
        "perplexity/masked_lm": np.exp(9.5),
        "optimizer/learning_rate": 1e-4,
        "optimizer/gradient_norm": 2.0,
        "optimizer/loss_scale": 4.0,
        "throughput/tokens_per_second": 1234.5,
        "data/stage": 2.0,
        "data/batch_size": 64.0,
        "source/general/epochs": 0.5,
    }
    assert {tag: value for tag, value in train.items() if value[1] == "text"} == texts
    scalars = {tag: value for tag, (value, plugin) in train.items() if plugin == "scalars"}
    assert scalars == pytest.approx(numbers, rel=1e-6)
    assert validation["example"] == (b"Paris is **the** capital.", "text")
    assert validation["perplexity/masked_lm"][0] == pytest.approx(np.exp(5.0))
    assert validation["right_token_probability/masked"][1] == "histograms"
    (row, _) = RunFolder(str(tmp_path / "run")).read_log()
    assert row.keys() >= {"step", "split", "tokens", "lm_example_loss", "learning_rate", "gradient_norm", "sources"}
