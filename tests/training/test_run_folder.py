"""A run's folder that was cut short, damaged, or is in use."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from pipeline import files
from pipeline.config.tree import apply_overrides, dump_yaml
from pipeline.errors import InputError, OutputError, UserError
from pipeline.locks import locked
from pipeline.training.evaluation.predict import predict
from pipeline.training.run import pretrain
from pipeline.training.run_folder import RunFolder

STEPS = {"train_steps": 6, "checkpoint_interval": 2, "validation_interval": 3, "max_to_keep": 3}
SENTENCE = "w00 [MASK] w00"


class Killed(BaseException):
    """In the place of a kill: nothing gets to run after it."""


@pytest.fixture(scope="module")
def config(tiny_config: Any) -> Any:
    return tiny_config(**STEPS, optimizer={"warmup_steps": 1, "decay": "constant"})


@pytest.fixture(scope="module")
def start(tiny_corpus: Any) -> Callable[[Any, Path], dict[str, Any]]:
    return lambda config, run: pretrain(config, str(tiny_corpus.directory), str(run), show_progress=False)


@pytest.fixture(scope="module")
def finished(start: Any, config: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    start(config, run)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, of this test's own."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def stopped(run: Path) -> Path:
    """The same, but stopped after step 4 and before step 6."""
    for path in (run / "results.json", run / "model.keras", *(run / "checkpoints").glob("step-6.*")):
        path.unlink()
    return run


def log(run: Path) -> list[str]:
    return (run / "log.jsonl").read_text().splitlines()


# === The start ===


@pytest.mark.parametrize("writes", [0, 1, 3, 5])
def test_a_start_that_is_cut_short_is_made_again(
    start: Any, config: Any, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Killed before or after each of the three files that it writes gets its name."""
    run, replace, left = tmp_path / "run", os.replace, [writes]

    def replace_or_die(source: str, target: str) -> None:
        left[0] -= 1
        if left[0] < 0 and writes % 2 == 0:
            raise Killed
        replace(source, target)
        if left[0] < 0:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_die)
        patch.setattr(files, "remove", lambda path: None)  # A kill leaves temporary files.
        left[0] = writes // 2
        with pytest.raises(Killed):
            start(config, run)
    assert (run / "config.yaml").exists() == (writes == 5)
    start(config, run)
    assert log(run) == log(finished)
    assert {path.name for path in run.iterdir()} == {path.name for path in finished.iterdir()}


@pytest.mark.parametrize("name", ["vocab.txt", "run.json", "config.yaml", ".hidden"])
def test_files_of_somebody_else_are_left_alone(start: Any, config: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious: 1\n")
    with pytest.raises(UserError):
        start(config, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "precious: 1\n"}


def test_a_second_run_in_the_folder_is_refused(start: Any, config: Any, run: Path) -> None:
    """Reading what is there is not."""
    (run / "results.json").unlink()
    with locked(str(run / ".lock"), owner="the other"):
        with pytest.raises(OutputError, match=r"Another process is using the run .*Received: process \d+ on"):
            start(config, run)
        assert len(predict(str(run), [SENTENCE])) == 1


# === Checkpoints ===


@pytest.mark.parametrize("state", [None, b"\xff\x00garbage"])
def test_the_newest_whole_checkpoint_counts_whatever_the_state_file_says(
    start: Any, config: Any, finished: Path, stopped: Path, capsys: Any, state: bytes | None
) -> None:
    for folder in (stopped / "checkpoints", stopped / "checkpoints" / "best"):
        (folder / "checkpoint").unlink()
        if state is not None:
            (folder / "checkpoint").write_bytes(state)
    results = start(config, stopped)
    assert "continuing from step 4" in capsys.readouterr().out
    assert log(stopped) == log(finished)
    assert results["model_step"] == json.loads((finished / "results.json").read_text())["model_step"]
    assert tf.train.latest_checkpoint(str(stopped / "checkpoints")) == str(stopped / "checkpoints" / "step-6")


def test_without_a_checkpoint_the_log_stays(start: Any, config: Any, stopped: Path) -> None:
    shutil.rmtree(stopped / "checkpoints")
    before = log(stopped)
    with pytest.raises(OutputError, match="must contain the checkpoints of this run, whose log reaches step 6"):
        start(config, stopped)
    assert log(stopped) == before


def test_the_best_weights_are_lost(start: Any, config: Any, run: Path, capsys: Any) -> None:
    shutil.rmtree(run / "checkpoints" / "best")
    (run / "results.json").unlink()
    assert start(config, run)["model_step"] == 6
    assert "best must contain the best weights" in capsys.readouterr().out


# === The other files ===


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("run.json", "run.json is damaged, or was not written by this program"),
        ("config.yaml", "config.yaml must contain the complete configuration of the run"),
    ],
)
@pytest.mark.parametrize("share", [0, 0.6, 0.97])
def test_a_cut_file_is_named(
    start: Any, config: Any, stopped: Path, finished: Path, name: str, error: str, share: float
) -> None:
    path = stopped / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    before = log(stopped)
    with pytest.raises(InputError, match=error):
        start(config, stopped)
    (stopped / "model.keras").write_bytes((finished / "model.keras").read_bytes())
    with pytest.raises(InputError, match=error):
        predict(str(stopped), [SENTENCE])
    assert log(stopped) == before


def test_a_run_of_an_earlier_version_goes_on(
    start: Any, config: Any, stopped: Path, finished: Path, capsys: Any
) -> None:
    """Its configuration lacks the options that came later; what is missing has the default."""
    lines = (stopped / "config.yaml").read_text().splitlines(keepends=True)
    later = ("ema_decay:", "muon_momentum:", "decay_from:", "warmup_start:", "decay_form:")
    kept = [line for line in lines if not line.strip().startswith(later)]
    assert len(kept) == len(lines) - len(later)
    (stopped / "config.yaml").write_text("".join(kept))
    start(config, stopped)
    assert "continuing from step 4" in capsys.readouterr().out
    assert log(stopped) == log(finished)


@pytest.mark.parametrize("content", [b"", b'{"train": {"lo', b"[]", b"{}", b"\xff\xfe"])
def test_damaged_results_count_as_none(run: Path, capsys: Any, content: bytes) -> None:
    (run / "results.json").write_bytes(content)
    assert RunFolder(str(run)).results(6) is None
    assert "results.json is damaged; writing it again" in capsys.readouterr().out


def test_lost_results_are_made_again(start: Any, config: Any, finished: Path, run: Path) -> None:
    """From the last checkpoint."""
    (run / "results.json").unlink()
    assert start(config, run) == json.loads((finished / "results.json").read_text())
    assert log(run) == log(finished)


def test_a_damaged_model_is_told_and_made_again(start: Any, config: Any, finished: Path, run: Path) -> None:
    path = run / "model.keras"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    for damaged in (data[:1000], b"garbage", data):
        path.write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"model\.keras is damaged, or is not the model of this run.*Remove it and run"
        ):
            predict(str(run), [SENTENCE])
    path.unlink()
    start(config, run)
    assert predict(str(run), [SENTENCE]) == predict(str(finished), [SENTENCE])


@pytest.mark.parametrize(
    ("place", "bad", "damaged"),
    [(-1, b'{"step": 6, "sp', 0), (2, b'{"step": 1, "spl}\n', 1), (0, b"\xff\xfe}\n", 1), (1, b"[1]}\n{}\n", 2)],
)
def test_a_damaged_log_is_no_traceback(run: Path, capsys: Any, place: int, bad: bytes, damaged: int) -> None:
    """A last line that was cut short is made again, and not worth a word."""
    lines = (run / "log.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for index, line in enumerate(lines) if index != place % len(lines)]
    kept.insert(place % len(lines), bad)
    (run / "log.jsonl").write_bytes(b"".join(kept))
    folder = RunFolder(str(run))
    folder.rewind_log(6, checkpoint_interval=2)
    expected = [json.loads(line) for index, line in enumerate(lines) if index != place % len(lines)]
    assert folder.read_log() == expected
    said = capsys.readouterr().out
    assert said == (f"note: {run / 'log.jsonl'}: ignored {damaged} damaged lines\n" if damaged else "")


def test_a_checkpoint_that_a_kill_cut_short_is_none(tmp_path: Path) -> None:
    """What it starts from is then still needed."""
    folder = RunFolder(str(tmp_path))
    assert folder.checkpoint_steps() == []
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    for name in ("step-5.index", "step-5.data-00000-of-00001", "step-10.index"):
        (checkpoints / name).write_bytes(b"")
    (checkpoints / "step-5_temp").mkdir()
    assert folder.checkpoint_steps() == [10]
    (checkpoints / "step-10_temp").mkdir()
    assert folder.checkpoint_steps() == []


def test_without_a_checkpoint_the_log_begins_anew(tmp_path: Path) -> None:
    """With what was measured before the first step, which is measured once more."""
    folder = RunFolder(str(tmp_path))
    for row in ({"step": 0, "split": "before"}, {"step": 1, "split": "train"}):
        folder.log(row)
    folder.rewind_log(0, checkpoint_interval=2)
    assert folder.read_log() == []


def test_a_damaged_vocabulary_and_log_are_mended(start: Any, config: Any, finished: Path, stopped: Path) -> None:
    (stopped / "vocab.txt").write_bytes(b"[PAD]\n")
    with (stopped / "log.jsonl").open("ab") as stream:
        stream.write(b'{"step": 6, "sp')
    start(config, stopped)
    assert (stopped / "vocab.txt").read_bytes() == (finished / "vocab.txt").read_bytes()
    assert log(stopped) == log(finished)


# === More steps ===


def test_a_run_may_be_given_more_steps(start: Any, config: Any, finished: Path, run: Path, tmp_path: Path) -> None:
    """With the weights that it would have had, if it had been given them at first."""
    longer = apply_overrides(config, ["trainer.train_steps=8"])
    assert start(longer, run)["steps"] == 8
    start(longer, tmp_path / "at once")
    reached, expected = (
        tf.train.load_checkpoint(str(folder / "checkpoints" / "step-8")) for folder in (run, tmp_path / "at once")
    )
    names = [name for name in reached.get_variable_to_shape_map() if name.startswith(("model", "optimizer"))]
    assert len(names) > 40
    for name in names:
        assert (reached.get_tensor(name) == expected.get_tensor(name)).all(), name
    with pytest.raises(OutputError, match=r"trainer\.train_steps is 8 there and 6 now"):
        start(config, run)


@pytest.mark.parametrize(
    "override",
    ["trainer.optimizer.decay=linear", "task.train_data={masked_lm_prob: 0.3, final_masked_lm_prob: 0.15}"],
)
def test_more_steps_that_would_change_those_before_are_refused(run: Path, override: str) -> None:
    """Each difference is named once, and a way to go on is."""
    folder = RunFolder(str(run))
    started = apply_overrides(folder.held_config(), [override])
    (run / "config.yaml").write_text(dump_yaml(started))
    longer = apply_overrides(
        started,
        [
            "trainer.train_steps=8",
            "task.train_data.masking_schedule_steps=8",
            "task.validation_data.masking_schedule_steps=8",
        ],
    )
    with pytest.raises(OutputError) as raised:
        folder._check_same(longer, json.loads((run / "run.json").read_text())["manifest_sha256"])
    assert "is a run of 6 steps" in str(raised.value)
    assert "Received: trainer.train_steps is 6 there and 8 now. To train its model further" in str(raised.value)
    assert f"--more-steps N --run {run}" in str(raised.value)


def test_another_seed_is_named_once(start: Any, config: Any, run: Path) -> None:
    with pytest.raises(OutputError, match=r"Received: trainer\.seed is 0 there and 1 now\. Choose"):
        start(apply_overrides(config, ["trainer.seed=1"]), run)


# === Kills and full disks ===

SCRIPT = """
import resource, sys
from pipeline.config.tree import load_yaml
from pipeline.errors import UserError
from pipeline.training.configs import ExperimentConfig
from pipeline.training.run import pretrain
if sys.argv[4] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    pretrain(load_yaml(ExperimentConfig, sys.argv[1]), sys.argv[2], sys.argv[3], show_progress=False)
except UserError as error:
    sys.exit(f"user error: {error}")
"""


@pytest.mark.slow
def test_a_full_disk_is_told_and_gone_on_from(
    start: Any, config: Any, finished: Path, tiny_corpus: Any, tmp_path: Path
) -> None:
    """Files may have no more than some bytes: among them are checkpoints, summaries, the log and the model."""
    run, path = tmp_path / "run", tmp_path / "config.yaml"
    path.write_text(dump_yaml(config))
    words = [sys.executable, "-c", SCRIPT, str(path), str(tiny_corpus.directory), str(run)]
    told = []
    for limit in (100, 1000, 3000, 40_000):
        done = subprocess.run([*words, str(limit)], capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        told += [line for line in done.stderr.splitlines() if line.startswith("user error: ")]
    assert len(told) == 4, told
    start(config, run)
    assert log(run) == log(finished)


@pytest.mark.slow
def test_kills_at_the_start_and_the_end(
    start: Any, config: Any, finished: Path, tiny_corpus: Any, tmp_path: Path
) -> None:
    path, draw = tmp_path / "config.yaml", random.Random(3)
    path.write_text(dump_yaml(config))
    for number, wanted in enumerate(
        ["", ".lock", "run.json", "config.yaml", "summaries", "log.jsonl", "model.tmp.keras"]
    ):
        run = tmp_path / f"run-{number}"
        words = [sys.executable, "-c", SCRIPT, str(path), str(tiny_corpus.directory), str(run), "0"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and not (run / wanted).exists():
            time.sleep(0.0005)
        time.sleep(draw.random() * 0.01)
        process.kill()
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
        start(config, run)
        assert log(run) == log(finished)
