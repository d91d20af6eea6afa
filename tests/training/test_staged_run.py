"""Runs in stages: growing batches, then longer rows; what is told of them, restarts, kills, devices."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.cli import main
from pipeline.commands import pretrain as command
from pipeline.config.tree import apply_overrides, dump_yaml
from pipeline.errors import ConfigError, CorpusError, OutputError
from pipeline.records.spec import RecordSpec
from pipeline.training.configs import ExperimentConfig
from pipeline.training.corpora import open_corpora
from pipeline.training.decaying import corpora_to_decay_on, decay_config
from pipeline.training.loop.step_loop import StepLoop
from pipeline.training.run import pretrain, resolve
from pipeline.training.stages import StageConfig
from tests.training.test_distribution import EXACT, assert_same, finish, start, weights

STEPS = {"train_steps": 12, "summary_interval": 1, "validation_interval": 6, "checkpoint_interval": 2}
# 8 and 16 examples of 16 tokens, then 8 of 24 tokens.
STAGES = "[{{until: 50%, initial_batch_size: 8}}, {{input_path: {long}, global_batch_size: 8}}]"


@pytest.fixture(scope="module")
def corpora(write_corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Short rows and long ones."""
    folder = tmp_path_factory.mktemp("corpora")
    made = (
        write_corpus(folder / name, spec=spec, train=(90, 30), validation=(21,))
        for name, spec in (("short", RecordSpec(16, 3)), ("long", RecordSpec(24, 4)))
    )
    short, long = (str(corpus.directory) for corpus in made)
    return short, long


@pytest.fixture
def config(corpora: tuple[str, str], tiny_config: Any) -> ExperimentConfig:
    return staged(tiny_config(**STEPS), corpora)


def staged(config: ExperimentConfig, corpora: tuple[str, str], *overrides: str) -> ExperimentConfig:
    stages = "task.train_data.stages=" + STAGES.format(long=corpora[1])
    return apply_overrides(config, [stages, "task.validation_data.global_batch_size=8", *overrides])


def rows(run: Path, split: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in found if row["split"] == split]


class Killed(Exception):
    """In the place of a kill: nothing of the loop gets to run after it."""


def test_a_run_in_stages(
    corpora: tuple[str, str], config: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, (short, long) = tmp_path / "run", corpora
    results = pretrain(config, short, str(run), show_progress=False)
    shown = capsys.readouterr().out
    train, validation = rows(run, "train"), rows(run, "validation")
    assert [row["batch_size"] for row in train] == [8] * 3 + [16] * 3 + [8] * 6
    assert [row["stage"] for row in train] == [1] * 3 + [2] * 3 + [3] * 6
    assert [row["sources"]["short"]["examples"] for row in train] == [8, 16, 24, 40, 56, *[72] * 7]
    assert [row["sources"]["long"]["examples"] for row in train] == [*[0] * 6, 8, 16, 24, 32, 40, 48]
    assert [stage["batch_size"] for stage in results["stages"]] == [8, 16, 8]
    assert [stage["corpora"] for stage in results["stages"]] == [["short"], ["short"], ["long"]]
    # Tokens are predicted by the means of the corpora.
    assert sum(stage["tokens"] for stage in results["stages"]) == pytest.approx(results["tokens"], rel=0.05)
    table = next(line for line in shown.splitlines() if line.startswith("stage "))
    assert shown.count(table) == 2  # At the start and in the end.
    held = yaml.safe_load((run / "config.yaml").read_text())["task"]
    assert [stage["until"] for stage in held["train_data"]["stages"]] == ["3 steps", "6 steps", None]
    assert [stage["input_path"] for stage in held["train_data"]["stages"]] == [short, short, long]
    assert held["validation_data"]["input_path"] == long
    # Evaluations, by the run and by the command, are of the last stage's corpus.
    assert main(["evaluate", "--run", str(run), "--pseudo-tokens", "0", "--json", "--no-progress"]) == 0
    found = json.loads(capsys.readouterr().out)["corpus"]
    best = next(row for row in validation if row["step"] == results["model_step"])
    assert found["examples"] == 21
    assert found["loss"] == pytest.approx(best["loss"], rel=1e-4)

    # Killed, and continued from step 6, where a stage begins.
    resumed = tmp_path / "resumed"
    make_steps, calls = StepLoop.__call__, []

    def make_steps_or_die(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > 7:
            raise Killed
        return make_steps(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StepLoop, "__call__", make_steps_or_die)
        with pytest.raises(Killed):
            pretrain(config, short, str(resumed), show_progress=False)
    pretrain(config, short, str(resumed), show_progress=False)
    assert rows(resumed, "train") == train
    assert rows(resumed, "validation") == validation

    # Other stages, or as many in another place, are another run; corpora may be moved.
    sizes = (
        f"[{{until: 3 steps, global_batch_size: 8}}, {{until: 5 steps}}, {{input_path: {long}, global_batch_size: 8}}]"
    )
    other = apply_overrides(config, [f"task.train_data.stages={sizes}"])
    with pytest.raises(OutputError, match=r"stages\[1\]\.until is '6 steps' there and '5 steps' now"):
        pretrain(other, short, str(run), show_progress=False)
    with pytest.raises(OutputError, match="the corpus differs"):
        pretrain(staged(config, (long, short)), long, str(run), show_progress=False)
    moved = tmp_path / "moved"
    shutil.copytree(long, moved)
    assert pretrain(staged(config, (short, str(moved))), short, str(run), show_progress=False) == results


def test_flags_name_the_stages(corpora: tuple[str, str], tiny_config: Any, tmp_path: Path, capsys: Any) -> None:
    short, long = corpora
    path, run = tmp_path / "config.yaml", tmp_path / "run"
    path.write_text(dump_yaml(tiny_config(**{**STEPS, "train_steps": 3}, optimizer={"warmup_steps": 0})))
    flags = ["pretrain", "--run", str(run), "--config", str(path), "--no-progress"]
    mixture = ["--corpus", f"{long}:3", "--corpus", f"{long}/.:1"]
    for arguments, message in (
        (["--until", "50%", "--corpus", short], "--until must come after the --corpus"),
        (["--corpus", short, "--until", "50%"], "--until must be followed by the --corpus"),
        (["--corpus", short, "--until", "50%", *mixture], "A corpus must be given only once"),
        (["--corpus", short, "--until", "half", "--corpus", long], "until must state where a stage ends"),
        (["--corpus", short, "--until", "1%", "--corpus", long], "Stage 1 must end after step 0"),
        (
            ["--corpus", short, "--until", "50%", "--corpus", long, "--task.train-data.stages=[{}]"],
            "by --until or by task.train_data.stages, not by both",
        ),
    ):
        with contextlib.suppress(SystemExit):  # Of argparse.
            assert main([*flags, *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not run.exists()
    assert main([*flags, "--corpus", short, "--until", "67%", "--corpus", long, "--corpus", f"{short}/"]) == 2
    assert "same shapes" in capsys.readouterr().err
    assert main([*flags, "--corpus", short, "--until", "67%", "--corpus", long, "--until", "2 steps"]) == 2
    named = ["--corpus", f"{short}:2", "--corpus", f"{long}:1", "--until", "67%", "--corpus", long]
    arguments, found = parsed([*flags[1:], *named])
    assert arguments.corpus == [f"{short}:2", f"{long}:1"]
    assert found.task.train_data.stages == (StageConfig(until="67%"), StageConfig(input_path=long))


def parsed(flags: list[str]) -> tuple[argparse.Namespace, ExperimentConfig]:
    """What `pretrain` makes of its arguments."""
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    arguments = parser.parse_args(["pretrain", *flags])
    command._check(arguments)
    return arguments, command.read_config(arguments)


def test_experiments_reach_the_longest_stage(write_corpus: Any, corpora: tuple[str, str], tmp_path: Path) -> None:
    longer = str(write_corpus(tmp_path / "longer", spec=RecordSpec(600, 4), train=(9,)).directory)
    flags = ["--corpus", corpora[0], "--until", "90%", "--corpus", longer, "--run", str(tmp_path / "run")]
    _, config = parsed([*flags, "--experiment", "bert-tiny"])
    assert config.task.model.encoder.max_position_embeddings == 600
    assert [stage.input_path for stage in config.task.train_data.stages] == ["", longer]
    short = apply_overrides(config, ["task.model.encoder.max_position_embeddings=512"])
    with pytest.raises(CorpusError, match="max_position_embeddings must be at least the corpus's 600 tokens"):
        resolve(short, open_corpora(corpora[0], short.task.train_data.stages))


def test_a_configuration_resolved_again_is_the_same(config: Any, corpora: tuple[str, str]) -> None:
    """The config.yaml of a run starts another one."""
    once = resolve(config, open_corpora(corpora[0], config.task.train_data.stages))
    assert len(once.task.train_data.stages) == 3
    assert resolve(once, open_corpora(corpora[0], once.task.train_data.stages)) == once


def test_corpora_of_stages(config: Any, corpora: tuple[str, str], write_corpus: Any, tmp_path: Path) -> None:
    short, long = corpora
    other = str(write_corpus(tmp_path / "short", spec=RecordSpec(16, 3), train=(40,), validation=()).directory)
    mixed = f"{{input_path: [{other}, {short}/], weights: [1, 3], until: 90%}}"
    stages = f"task.train_data.stages=[{{until: 10%}}, {mixed}, {{input_path: {long}}}]"
    opened = open_corpora(short, apply_overrides(config, [stages]).task.train_data.stages)
    assert opened.all_directories == (short, other, long)  # One name for a directory.
    assert opened.stages[1].weights == (1, 3)
    ours, theirs = opened.mean_tokens, open_corpora(other).mean_tokens
    assert opened.stages[1].mean_tokens == pytest.approx(4 / (1 / theirs + 3 / ours))
    assert list(opened.validation(config.task.validation_data)) == [f"{Path(long).parent.name}/long"]
    assert not open_corpora(short, [StageConfig(until="10%"), StageConfig(input_path=other)]).has_validation()
    with pytest.raises(ConfigError, match="The first stage must read the corpora given with --corpus"):
        open_corpora(short, [StageConfig(input_path=long)])
    for shares in ((1.0,), (1.0, 2.0, 3.0)):
        with pytest.raises(ConfigError, match="Stage 2 needs one weight per corpus"):
            open_corpora(short, [StageConfig(), StageConfig(input_path=(other, short), weights=shares)])


@pytest.mark.slow
def test_it_decays_into_its_last_stage(config: Any, corpora: tuple[str, str], tmp_path: Path) -> None:
    """And goes on in the data where the checkpoint was."""
    run, decayed = str(tmp_path / "run"), str(tmp_path / "decayed")
    kept = apply_overrides(config, ["trainer.max_to_keep=9", "trainer.optimizer.decay=constant"])
    pretrain(kept, corpora[0], run, show_progress=False)
    four = ["trainer.optimizer.decay_steps=4"]
    with pytest.raises(ConfigError, match=r"begins after step 6.*from step 2 to step 6"):
        decay_config(f"{run}/checkpoints/step-2", decayed, {}, four)
    wanted = decay_config(f"{run}/checkpoints/step-4", decayed, {}, four)
    results = pretrain(wanted, corpora_to_decay_on(run, decayed), decayed, show_progress=False)
    assert [(stage["last_step"], stage["batch_size"]) for stage in results["stages"]] == [(3, 8), (6, 16), (8, 8)]


def test_sizes_are_divided_among_parts_and_validation_has_no_stages(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"stages\[0\]\.initial_batch_size must be a multiple of .*8 and 16"):
        apply_overrides(config, ["trainer.accumulation_steps=16"])
    with pytest.raises(ConfigError, match="validation_data must have no stages"):
        apply_overrides(config, ["task.validation_data.stages=[{}]"])


# === Proofs that take longer ===


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_two_devices_train_as_one_does(corpora: Any, tiny_config: Any, tmp_path: Path, parts: int) -> None:
    exact = staged(tiny_config(**STEPS), corpora, *EXACT)
    finish(start(exact, Path(corpora[0]), tmp_path / "alone"))
    parallel = apply_overrides(exact, ["runtime.distribution_strategy=mirrored", f"trainer.accumulation_steps={parts}"])
    finish(start(parallel, Path(corpora[0]), tmp_path / "run", devices=2))
    assert_same(tmp_path / "run", tmp_path / "alone")


@pytest.mark.slow
def test_xla_compiles_each_stage(corpora: Any, tiny_config: Any, tmp_path: Path) -> None:
    exact = staged(tiny_config(**STEPS), corpora, *EXACT)
    for name, overrides in (("plain", []), ("xla", ["runtime.enable_xla=true"])):
        pretrain(apply_overrides(exact, overrides), corpora[0], str(tmp_path / name), show_progress=False)
    assert_same(tmp_path / "xla", tmp_path / "plain")


@pytest.mark.slow
def test_kills_change_no_byte(corpora: tuple[str, str], tiny_config: Any, tmp_path: Path) -> None:
    """SIGKILL at any moment of a run with both ramps, by the public command: the same weights, losses and table."""
    config = staged(tiny_config(**{**STEPS, "train_steps": 60, "validation_interval": 20}), corpora)
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(config))

    def started(run: Path) -> list[str]:
        flags = ["--corpus", corpora[0], "--config", str(path), "--run", str(run), "--no-progress"]
        return [sys.executable, "-m", "pipeline", "pretrain", *flags]

    whole, run = tmp_path / "whole", tmp_path / "run"
    subprocess.run(started(whole), capture_output=True, check=True)
    log, draw, seen = run / "log.jsonl", random.Random(5), set()
    # Lines of the log: within the three sizes and rows, at the boundaries of steps 15 and 30, and in the end.
    for lines in (4, 14, 15, 24, 31, 45, 60, 63):
        process = subprocess.Popen(started(run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= lines):
            time.sleep(0.001)
        time.sleep(draw.random() * 0.2)  # A few steps more.
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
        seen.add(rows(run, "train")[-1]["stage"])
    assert seen == {1, 2, 3}
    subprocess.run(started(run), capture_output=True, check=True)
    assert (run / "log.jsonl").read_text() == (whole / "log.jsonl").read_text()
    for one, other in zip(weights(run), weights(whole), strict=True):
        assert one.tobytes() == other.tobytes()
    expected, results = (json.loads((path / "results.json").read_text()) for path in (whole, run))
    assert {**results, "tokens_per_second": 0} == {**expected, "tokens_per_second": 0}
    assert np.isfinite(results["train"]["loss"])
