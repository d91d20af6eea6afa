"""Runs with a budget of time: the same weights as without one, given what it decided."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from pipeline.cli import main
from pipeline.commands import pretrain as command
from pipeline.config.tree import dump_yaml, to_dict
from pipeline.records.spec import RecordSpec
from pipeline.training import budgeted
from pipeline.training import run as training_run
from pipeline.training.budget import Pace
from pipeline.training.budgeted import DECIDED, decide
from pipeline.training.config_differences import flatten
from pipeline.training.loop import measuring
from pipeline.training.loop.progress import Progress
from tests.training.test_run import Killed, read_log, read_weights

TICK = 0.1  # Seconds between two looks at the clock.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """A clock that goes on by a tick whenever it is looked at, so that what is decided is the same on all machines."""
    ticks = itertools.count()
    for module in (command, training_run, measuring):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: TICK * next(ticks)))
    return ticks


@pytest.fixture(scope="module")
def options(tiny_config: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of options that leaves the steps to the budget."""
    values = to_dict(tiny_config())
    trainer = values["trainer"]
    for name in ("train_steps", "summary_interval", "validation_interval", "checkpoint_interval"):
        del trainer[name]
    del trainer["optimizer"]["warmup_steps"]
    trainer["steps_per_loop"] = 1  # So that each takes a tick.
    path = tmp_path_factory.mktemp("options") / "options.yaml"
    path.write_text(yaml.safe_dump({"task": values["task"], "trainer": trainer}))
    return str(path)


def pretrain(corpus: Any, run: Path, *flags: str) -> int:
    return main(["pretrain", "--corpus", str(corpus.directory), "--run", str(run), "--no-progress", *flags])


def decided(run: Path) -> dict[str, Any]:
    """What the configuration of a run holds of what a budget decides."""
    values = flatten(yaml.safe_load((run / "config.yaml").read_text()))
    return {path: values[path] for path in DECIDED}


def as_flags(values: dict[str, Any]) -> list[str]:
    return [f"--{path.replace('_', '-')}={json.dumps(value)}" for path, value in values.items()]


def results(run: Path) -> dict[str, Any]:
    return {**json.loads((run / "results.json").read_text()), "tokens_per_second": 0}


def assert_same_run(run: Path, other: Path) -> None:
    assert read_log(run) == read_log(other)
    assert results(run) == results(other)
    assert len(read_weights(run)) > 25
    assert read_weights(run) == read_weights(other)


@pytest.mark.slow
def test_the_weights_are_those_of_a_run_without_a_budget(
    tiny_corpus: Any, options: str, tmp_path: Path, capsys: Any, clock: Any
) -> None:
    """Given what the budget decided."""
    run, other, flags = tmp_path / "run", tmp_path / "other", ["--config", options]
    assert pretrain(tiny_corpus, run, *flags, "--budget", "10s") == 0
    shown = capsys.readouterr().out
    values = decided(run)
    steps = values["trainer.train_steps"]
    assert f"budget 10s: {steps:,} steps, warm-up over {round(0.1 * steps)}" in shown
    assert 20 < steps < 100
    assert values["trainer.optimizer.warmup_steps"] == round(0.1 * steps)
    assert values["trainer.optimizer.decay_steps"] is None
    assert not (run / ".measuring").exists()
    assert [row["step"] for row in read_log(run) if row["split"] == "train"][-1] == steps
    assert read_log(run)[-2]["learning_rate"] < 1e-9  # It is decayed when the time is over.

    assert pretrain(tiny_corpus, run, *flags, "--budget", "10s") == 0
    shown = capsys.readouterr().out
    assert "already finished" in shown
    assert "measuring" not in shown
    assert pretrain(tiny_corpus, other, *flags, *as_flags(values)) == 0
    assert_same_run(run, other)


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_was_decided(
    tiny_corpus: Any, options: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """With everything that a checkpoint may hold; and what is set stays."""
    run, other = tmp_path / "run", tmp_path / "other"
    advance = Progress.advance

    def advance_or_die(self: Progress, *steps: int) -> None:
        if len(read_log(run)) >= 8:
            raise Killed
        advance(self, *steps)

    kept = ["--config", options, "--trainer.validation-interval", "50", "--trainer.accumulation-steps", "2"]
    kept += ["--trainer.optimizer.ema-decay", "0.9", "--trainer.optimizer.decay", "wsd"]
    flags = [*kept, "--trainer.warmup-share", "0.25", "--budget", "20s"]
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", advance_or_die)
        with pytest.raises(Killed):
            pretrain(tiny_corpus, run, *flags)
    values = decided(run)
    assert values["trainer.validation_interval"] == 50
    assert values["trainer.optimizer.warmup_steps"] == round(0.25 * values["trainer.train_steps"])
    capsys.readouterr()
    assert pretrain(tiny_corpus, run, *flags) == 0
    shown = capsys.readouterr().out
    assert "continuing from step" in shown
    assert "measuring" not in shown
    assert decided(run) == values
    assert pretrain(tiny_corpus, other, *kept, *as_flags(values)) == 0
    assert_same_run(run, other)


@pytest.mark.slow
def test_a_run_in_stages_is_measured_in_each(
    write_corpus: Any, options: str, tmp_path: Path, capsys: Any, clock: Any
) -> None:
    corpora = [
        write_corpus(tmp_path / name, spec=spec, train=(90, 30), validation=(21,))
        for name, spec in (("short", RecordSpec(16, 3)), ("long", RecordSpec(24, 4)))
    ]
    run, other = tmp_path / "run", tmp_path / "other"
    flags = ["--config", options, "--until", "75%", "--corpus", str(corpora[1].directory)]
    assert pretrain(corpora[0], run, *flags, "--budget", "20s") == 0
    shown = capsys.readouterr().out
    steps = decided(run)["trainer.train_steps"]
    assert f"2  {round(0.75 * steps) + 1} to {steps}" in " ".join(shown.split("\n"))
    assert pretrain(corpora[0], other, *flags, *as_flags(decided(run))) == 0
    assert_same_run(run, other)


def test_a_budget_alone_chooses_the_recipe(
    tiny_corpus: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which a run that has begun keeps, whatever a later version would choose."""
    run, wanted = tmp_path / "run", []
    monkeypatch.setattr(training_run, "pretrain", lambda config, *_, **given: wanted.append((config, given["given"])))
    flags = ["--task.train-data.global-batch-size", "16", "--trainer.summary-interval", "100"]
    assert pretrain(tiny_corpus, run, *flags, "--budget", "5m") == 0
    assert "modernbert, 2 layers of 128, muon, batches of 16 (chosen for this budget" in capsys.readouterr().out
    config, given = wanted.pop()
    assert config.trainer.budget == "5m"
    assert config.task.model.encoder.type == "modernbert"
    assert config.task.train_data.global_batch_size == 16
    assert {"trainer.budget", "trainer.summary_interval", "task.train_data.global_batch_size"} == set(given)

    begun = decide(config, given, Pace(start=10, step=0.25), used=30)
    steps = begun.trainer.train_steps
    assert steps == int((0.98 * 300 - 30 - 10) / 0.25)
    assert begun.trainer.optimizer.warmup_steps == round(0.1 * steps)  # The recipe's share.
    assert begun.trainer.summary_interval == 100  # Though it is the default.
    run.mkdir()
    (run / "config.yaml").write_text(dump_yaml(begun))
    monkeypatch.setattr(budgeted, "recipe_for", None)
    assert pretrain(tiny_corpus, run, *flags, "--budget", "5m") == 0
    assert "chosen for this budget" not in capsys.readouterr().out
    assert wanted.pop() == (begun, given)

    (run / "config.yaml").unlink()
    monkeypatch.undo()
    monkeypatch.setattr(training_run, "pretrain", lambda config, *_, **given: wanted.append((config, given["given"])))
    assert pretrain(tiny_corpus, run, "--experiment", "cramming", "--budget", "5m") == 0
    cramming = decide(*wanted.pop(), Pace(start=10, step=0.25), used=30).trainer.optimizer
    assert cramming.warmup_steps == 3 * steps // 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--budget", "30"], "budget must be a time above 0 with its unit. Received: '30'"),
        (["--trainer.budget", "30"], "trainer.budget must be of type str"),
        (["--budget", "1m", "--trainer.train-steps", "100000"], "trainer.budget determines the number of steps"),
        (["--budget", "1m", "--decay-from", "out/run"], "--budget cannot be used with --decay-from"),
        (["--trainer.warmup-share", "0.1"], "warmup_share can only be used with a budget"),
        (
            ["--budget", "1m", "--trainer.warmup-share", "0.1", "--trainer.optimizer.warmup-steps", "5"],
            "cannot both be set",
        ),
        (["--budget", "1m", "--runtime.distribution-strategy", "multi_worker_mirrored"], "is for a single machine"),
        (
            ["--budget", "1m", "--task.train-data.stages", "[{until: 10 steps}, {}]"],
            "must end at percentages of the steps",
        ),
        pytest.param(["--budget", "3s"], "must be long enough for 20 steps", marks=pytest.mark.slow),
        pytest.param(
            ["--budget", "20s", "--trainer.optimizer.warmup-steps", "900"],
            "The budget of 20s is enough for",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_be_is_refused(
    tiny_corpus: Any, options: str, tmp_path: Path, capsys: Any, clock: Any, flags: list[str], message: str
) -> None:
    assert pretrain(tiny_corpus, tmp_path / "run", "--config", options, *flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "config.yaml").exists()
    assert not (tmp_path / "run" / ".measuring").exists()


@pytest.mark.slow
@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_a_signal_while_measuring_leaves_nothing(
    tiny_corpus: Any, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any
) -> None:
    """Also in the background of a script, where SIGINT is ignored at first."""
    monkeypatch.setattr(measuring._Stopwatch, "advance", lambda self, *steps: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, handler)
    try:
        _stop_while_measuring(tiny_corpus, options, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


def _stop_while_measuring(tiny_corpus: Any, options: str, tmp_path: Path) -> None:
    handlers = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
    assert pretrain(tiny_corpus, tmp_path, "--config", options, "--budget", "1m") == 130
    assert [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)] == handlers
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_left_alone(tiny_corpus: Any, options: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    assert pretrain(tiny_corpus, tmp_path, "--config", options, "--budget", "1m") == 2
    assert "not a run of this program" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} <= {"thesis.txt", ".lock"}


@pytest.mark.slow
def test_kills_change_no_byte(tiny_corpus: Any, options: str, tmp_path: Path) -> None:
    """SIGKILL while the pace is measured, and at any moment after it: the weights of an undisturbed run."""
    run, other = tmp_path / "run", tmp_path / "other"
    flags = ["--config", options, "--trainer.summary-interval", "1", "--trainer.validation-interval", "12"]
    # What is decided is fixed: it is to be the same in the undisturbed run, whenever that was measured.
    code = (
        "import sys; from pipeline.cli import main; from pipeline.training import budget, budgeted;"
        "budgeted.plan_steps = lambda *_: budget.Plan(60, 1, 12, 5); sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["pretrain", "--corpus", str(tiny_corpus.directory), "--run", str(run), "--no-progress", *flags]
    process = [sys.executable, "-c", code, *arguments, "--budget", "1m"]
    draw, log, scratch = random.Random(3), run / "log.jsonl", run / ".measuring"

    def kill_when(reached: Callable[[], bool], patience: float) -> None:
        with open(tmp_path / "printed", "wb") as printed:
            started = subprocess.Popen(process, stdout=printed, stderr=subprocess.STDOUT)
            while started.poll() is None and not reached():
                time.sleep(0.001)
            time.sleep(draw.random() * patience)
            started.send_signal(signal.SIGKILL)
            assert started.wait() in (0, -signal.SIGKILL), (tmp_path / "printed").read_text()

    for reached, patience in (
        (scratch.exists, 0.2),
        ((scratch / "log.jsonl").exists, 1.5),
        ((scratch / "checkpoints").exists, 1.0),
    ):
        kill_when(reached, patience)
        assert not (run / "config.yaml").exists() or not scratch.exists()
    kill_when((run / "config.yaml").exists, 0.0)
    values = decided(run)
    for lines in (1, 8, 20, 41, 60):
        kill_when(lambda lines=lines: log.exists() and log.read_text().count("\n") >= lines, 0.2)
    subprocess.run(process, capture_output=True, check=True)
    assert decided(run) == values
    assert not scratch.exists()
    assert pretrain(tiny_corpus, other, *flags, *as_flags({**values})) == 0
    assert_same_run(run, other)
