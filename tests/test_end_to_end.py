"""From nothing to a trained model, by the commands of the README."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MLM = [sys.executable, "-m", "pipeline"]

pytestmark = pytest.mark.slow


def _make(target: str, **variables: object) -> str:
    """Runs a target of the Makefile; returns what it printed."""
    words = [f"{name}={value}" for name, value in variables.items()]
    done = subprocess.run(["make", target, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def _digests(folder: Path) -> dict[str, tuple[str, int]]:
    """SHA-256 and time of every file."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def sample_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "corpus"
    _make("corpus", OUT=out, WORKERS=2)
    return out


@pytest.fixture(scope="module")
def pretrained(sample_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run, and what it printed."""
    run = tmp_path_factory.mktemp("pretrained") / "run"
    return run, _make("pretrain", OUT=sample_corpus, RUN=run)


def test_pretrain_learns_and_is_not_redone(sample_corpus: Path, pretrained: tuple[Path, str]) -> None:
    run, printed = pretrained

    results = json.loads((run / "results.json").read_text())
    loss, baseline = results["validation"]["lm_example_loss"], results["unigram_cross_entropy"]
    assert loss < baseline - 2.0, f"{loss} is not clearly below {baseline}"
    assert results["validation"]["masked_lm_accuracy"] > 0.3
    assert "predicting token frequencies" in printed
    assert "[MASK] =" in printed

    before = _digests(run) | _digests(sample_corpus)
    began = time.monotonic()
    again = _make("pretrain", OUT=sample_corpus, RUN=run)
    assert "Nothing to do" in again
    assert "already finished" in again
    assert _digests(run) | _digests(sample_corpus) == before
    assert time.monotonic() - began < 60


def test_what_was_pretrained_is_evaluated_exported_and_fine_tuned(pretrained: tuple[Path, str], tmp_path: Path) -> None:
    """By the commands of docs/import-export.md and docs/fine-tuning.md."""
    run, _ = pretrained

    def mlm(*arguments: object) -> str:
        done = subprocess.run([*MLM, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    evaluation = json.loads(mlm("evaluate", "--run", run, "--json", "--no-progress"))["corpus"]
    trained = json.loads((run / "results.json").read_text())["validation"]
    assert evaluation["loss"] == pytest.approx(trained["loss"], rel=1e-4)
    assert evaluation["masked_lm"]["kept"]["accuracy"] > evaluation["masked_lm"]["masked"]["accuracy"] > 0.1

    mlm("export", "--run", run, "--format", "huggingface", "--output", tmp_path / "huggingface")
    text = "This method returns the number of [MASK] in the list."
    guesses = [json.loads(mlm("predict", "--run", model, "--json", text)) for model in (run, tmp_path / "huggingface")]
    assert [guess["token"] for guess in guesses[0][0]["masks"][0]] == [g["token"] for g in guesses[1][0]["masks"][0]]

    mlm("export", "--run", run, "--format", "encoder", "--output", tmp_path / "encoder")
    command = [sys.executable, "examples/fine_tune.py", "--encoder", str(tmp_path / "encoder"), "--examples", "4000"]
    # One pre-training gave 74.7 %, and random weights 51.8 %.
    command += ["--steps", "600", "--seeds", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    shares = [float(share.rstrip("%")) for share in done.stdout.split()[-2:]]
    assert shares[0] > max(54, shares[1] + 3), "what pre-training has learned helps; guessing gets 50 % right"


def test_pretrain_goes_on_after_a_kill(sample_corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [*MLM, "pretrain", "--corpus", str(sample_corpus), "--run", str(run), "--no-progress"]
    command += ["--config", "configs/pretrain-small.yaml", "--params-override", "trainer.train_steps=120"]
    command += ["trainer.optimizer.warmup_steps=12", "trainer.checkpoint_interval=20", "trainer.validation_interval=60"]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 300
    while not list(run.glob("checkpoints/step-*.index")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (run / "results.json").exists()

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-3000:]
    assert "continuing from step" in done.stdout
    assert json.loads((run / "results.json").read_text())["steps"] == 120


def test_any_number_of_workers_gives_the_same_bytes(sample_corpus: Path, tmp_path: Path) -> None:
    _make("corpus", OUT=tmp_path / "one", WORKERS=1)

    one, two = _digests(tmp_path / "one"), _digests(sample_corpus)
    assert {name: digest for name, (digest, _) in one.items() if name != "manifest.json"} == {
        name: digest for name, (digest, _) in two.items() if name != "manifest.json"
    }


def test_the_vocabulary_is_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    made_from = json.loads((ROOT / "vocab/sample-corpus.json").read_text())
    _make("sample-corpus")
    here = json.loads((ROOT / "out/sample.txt.json").read_text())
    if here["versions"] != made_from["versions"]:
        pytest.skip(f"other versions than the vocabulary was learned from: {here['versions']}")

    _make("vocab", VOCAB=tmp_path / "vocab.txt")

    assert here["sha256"] == made_from["sha256"]
    assert (tmp_path / "vocab.txt").read_bytes() == (ROOT / "vocab/sample-uncased-8k.txt").read_bytes()
