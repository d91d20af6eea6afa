"""Runs from beginning to end, on a tiny corpus: what is written, resumed, refused."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.tree import apply_overrides, dump_yaml
from pipeline.errors import CorpusError, OutputError, TrainingError
from pipeline.training.configs import RuntimeConfig
from pipeline.training.corpora import open_corpora
from pipeline.training.evaluation.predict import predict
from pipeline.training.loop.step_loop import StepLoop
from pipeline.training.loop.training_state import TrainingState
from pipeline.training.objectives.registry import OBJECTIVES
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.loss_scaling import LossScale
from pipeline.training.run import pretrain, resolve
from pipeline.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def finished(tiny_corpus: Any, tmp_path_factory: pytest.TempPathFactory, tiny_config: Any) -> Path:
    """An undisturbed run."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    pretrain(tiny_config(), str(tiny_corpus.directory), str(run), show_progress=False)
    return run


def read_weights(run: Path) -> dict[str, bytes]:
    """The weights in the file of a run's model; beside them stand names of layers, counted over a process."""
    weights: dict[str, bytes] = {}
    with (
        zipfile.ZipFile(run / "model.keras") as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        file.visititems(
            lambda name, item: weights.update({name: item[()].tobytes()}) if hasattr(item, "shape") else None
        )
    return weights


def read_log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_run_folder_holds_everything(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "checkpoints",
        "config.yaml",
        "log.jsonl",
        "model.keras",
        "results.json",
        "run.json",
        "summaries",
        "vocab.txt",
    }
    origin = json.loads((finished / "run.json").read_text())
    assert len(origin["manifest_sha256"]) == 64
    assert {"tensorflow", "keras", "mlm-pipeline"} <= set(origin["versions"])
    checkpoints = {path.name for path in (finished / "checkpoints").glob("step-*.index")}
    assert checkpoints == {"step-15.index", "step-20.index", "step-24.index"}


def test_tensorboard_gets_the_configuration_and_examples(finished: Path) -> None:
    """Of each evaluation, the configured sentence with the best guesses, and the rest of them below."""
    texts: dict[str, list[tuple[int, str]]] = {}
    for path in sorted(finished.glob("summaries/*/*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "text":
                    text = tf.make_ndarray(value.tensor).item().decode()
                    texts.setdefault(value.tag, []).append((event.step, text))
    ((step, configuration),) = texts["configuration"]
    assert step == 0
    assert textwrap.dedent(configuration) == (finished / "config.yaml").read_text()
    assert [step for step, _ in texts["example"]] == [8, 16, 24]
    for _, text in texts["example"]:
        filled, *guesses = [line for line in text.splitlines() if line]
        first, second = re.fullmatch(r"w00 w01 \*\*(\S+)\*\* w03 \*\*(\S+)\*\*", filled).groups()  # type: ignore[union-attr]
        assert [line.split()[1] for line in guesses] == [first, second]
        assert all(re.fullmatch(r"\d\. (\S+ \d+\.\d%(, )?){5}", line) for line in guesses)


def test_results_and_table(finished: Path, tiny_corpus: Any, capsys: Any, tiny_config: Any) -> None:
    before = (finished / "results.json").read_bytes()
    results = pretrain(tiny_config(), str(tiny_corpus.directory), str(finished), show_progress=False)
    shown = capsys.readouterr().out
    assert "already finished" in shown
    assert f"{results['validation']['loss']:.4f}" in shown
    assert f"{results['unigram_cross_entropy']:.4f}" in shown
    assert shown.count("[MASK] = ") == 2
    assert (finished / "results.json").read_bytes() == before
    assert results["steps"] == 24
    assert results["model_step"] == results["validation"]["step"]
    best = min(row["loss"] for row in read_log(finished) if row["split"] == "validation")
    assert results["validation"]["loss"] == best


class Killed(Exception):
    """In the place of a kill: nothing of the loop gets to run after it."""


@pytest.mark.parametrize("kill_after", [3, 13])
def test_resumed_run_has_the_same_losses(
    finished: Path,
    tiny_corpus: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill_after: int,
    tiny_config: Any,
) -> None:
    """Killed before the first checkpoint (5) and between two (10, 15)."""
    run, corpus = tmp_path / "run", str(tiny_corpus.directory)
    make_steps, calls = StepLoop.__call__, []

    def make_steps_or_die(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > kill_after:
            raise Killed
        return make_steps(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StepLoop, "__call__", make_steps_or_die)
        with pytest.raises(Killed):
            pretrain(tiny_config(), corpus, str(run), show_progress=False)
    assert not (run / "results.json").exists()
    resumed = pretrain(tiny_config(), corpus, str(run), show_progress=False)
    assert read_log(run) == read_log(finished)
    expected = json.loads((finished / "results.json").read_text())
    for results in (resumed, expected):
        results.pop("tokens_per_second")
    assert resumed == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(
    finished: Path,
    tiny_corpus: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    number: int,
    tiny_config: Any,
) -> None:
    run, corpus = tmp_path / "run", str(tiny_corpus.directory)
    make_steps, calls = StepLoop.__call__, []

    def signal_and_make_steps(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 7:
            os.kill(os.getpid(), number)
        return make_steps(*args, **kwargs)

    handlers = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
    with monkeypatch.context() as patch:
        patch.setattr(StepLoop, "__call__", signal_and_make_steps)
        expected: Any = pytest.raises(KeyboardInterrupt) if number == signal.SIGINT else contextlib.nullcontext()
        with expected:
            assert pretrain(tiny_config(), corpus, str(run), show_progress=False) == {}
    assert [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)] == handlers
    assert "stopped and saved at step 7; the same command continues from there" in capsys.readouterr().out
    pretrain(tiny_config(), corpus, str(run), show_progress=False)
    assert "continuing from step 7" in capsys.readouterr().out
    assert read_log(run) == read_log(finished)


def test_a_loss_that_is_no_number_stops_the_run(tiny_corpus: Any, tmp_path: Path, tiny_config: Any) -> None:
    """The error names step and shards; the last checkpoint stays, with weights that are numbers."""
    config = tiny_config(
        checkpoint_interval=1, optimizer={"learning_rate": 1e30, "warmup_steps": 0, "gradient_clip_norm": 0}
    )
    run = tmp_path / "run"
    for _ in range(2):
        with pytest.raises(TrainingError) as raised:
            pretrain(config, str(tiny_corpus.directory), str(run), show_progress=False)
    assert "The weights had already grown to " in str(raised.value)
    match = re.fullmatch(r"The (?:loss|gradient's norm) of step (\d+) is (?:nan|inf)\..*", str(raised.value), re.S)
    assert match, raised.value
    step = int(match[1])
    assert f"examples {(step - 1) * 16} to {step * 16 - 1} in the order of training, from " in str(raised.value)
    counts = re.findall(r"(train-\d{5}-of-00003)\.tfrecord \((\d+) examples\)", str(raised.value))
    assert sum(int(count) for _, count in counts) == 16
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"step-{step - 1}"))
    for name in reader.get_variable_to_shape_map():
        if "model" in name:
            assert np.isfinite(reader.get_tensor(name)).all()


def test_a_checkpoint_of_another_model_is_refused(
    finished: Path, tiny_corpus: Any, tmp_path: Path, tiny_config: Any
) -> None:
    run, corpus = tmp_path / "run", str(tiny_corpus.directory)
    config = apply_overrides(tiny_config(), ["trainer.optimizer.type=lamb"])
    RunFolder(str(run)).open(resolve(config, open_corpora(corpus)), open_corpora(corpus))
    shutil.copytree(finished / "checkpoints", run / "checkpoints")
    with pytest.raises(OutputError, match="must contain the model and the optimiser of this configuration"):
        pretrain(config, corpus, str(run), show_progress=False)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    finished: Path,
    tiny_corpus: Any,
    tmp_path: Path,
    capsys: Any,
    tiny_config: Any,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for name in ("results.json", "model.keras", "checkpoints/step-24.index"):
        (run / name).unlink()
    with (run / "checkpoints" / "step-20.data-00000-of-00001").open("r+b") as stream:
        stream.truncate(100)
    pretrain(tiny_config(), str(tiny_corpus.directory), str(run), show_progress=False)
    assert "continuing from step 15" in capsys.readouterr().out
    assert read_log(run) == read_log(finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "adamw"},
        {"type": "muon", "decay": "wsd", "decay_steps": 10, "ema_decay": 0.9},
        {"type": "stable_adamw", "decay": "triangle", "ema_decay": 0.99},
    ],
)
def test_a_process_that_is_killed_again_and_again(
    tiny_corpus: Any, tmp_path: Path, tiny_config: Any, optimizer: dict[str, Any]
) -> None:
    """At any moment: during start-up, compilation, steps, evaluations, checkpoints, the last save."""
    finished, run, corpus = tmp_path / "undisturbed", tmp_path / "run", str(tiny_corpus.directory)
    wanted = tiny_config(optimizer={"learning_rate": 5e-3, "warmup_steps": 4, **optimizer})
    pretrain(wanted, corpus, str(finished), show_progress=False)
    config = tmp_path / "config.yaml"
    config.write_text(dump_yaml(wanted))
    code = (
        "import logging, sys; logging.basicConfig(level=logging.INFO, stream=sys.stdout);"
        "from pipeline.config.tree import load_yaml; from pipeline.training.run import pretrain;"
        "from pipeline.training.configs import ExperimentConfig;"
        f"pretrain(load_yaml(ExperimentConfig, {str(config)!r}), {corpus!r}, {str(run)!r})"
    )
    log, draw = run / "log.jsonl", random.Random(11)
    for rows in (0, 3, 9, 15, 20, 26):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= rows):
            time.sleep(0.001)
        time.sleep(draw.random() * 0.2)  # A few steps more.
        process.kill()
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "continuing from step" in done.stdout or "already finished" in done.stdout
    assert read_log(run) == read_log(finished)
    expected, results = (json.loads((path / "results.json").read_text()) for path in (finished, run))
    assert {**results, "tokens_per_second": 0} == {**expected, "tokens_per_second": 0}
    assert len(read_weights(run)) > 25
    assert read_weights(run) == read_weights(finished)


def test_another_configuration_is_refused(finished: Path, tiny_corpus: Any, tiny_config: Any) -> None:
    config = apply_overrides(tiny_config(), ["trainer.optimizer.learning_rate=0.5", "trainer.train_steps=30"])
    with pytest.raises(OutputError) as raised:
        pretrain(config, str(tiny_corpus.directory), str(finished), show_progress=False)
    message = str(raised.value)
    assert "trainer.optimizer.learning_rate is 0.005 there and 0.5 now" in message
    assert "trainer.train_steps is 24 there and 30 now" in message


def test_another_corpus_is_refused(finished: Path, tmp_path: Path, write_corpus: Any, tiny_config: Any) -> None:
    other = write_corpus(tmp_path / "corpus", train=(32,))
    with pytest.raises(OutputError, match="the corpus differs"):
        pretrain(tiny_config(), str(other.directory), str(finished), show_progress=False)


def test_a_folder_of_other_files_is_refused(tiny_corpus: Any, tmp_path: Path, tiny_config: Any) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="not a run of this program"):
        pretrain(tiny_config(), str(tiny_corpus.directory), str(tmp_path), show_progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_on_an_object_store_is_refused(tiny_corpus: Any, tiny_config: Any) -> None:
    with pytest.raises(OutputError, match="must be on a local or mounted file system"):
        pretrain(tiny_config(), str(tiny_corpus.directory), "s3://bucket/run", show_progress=False)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.model.encoder.vocab_size=30522", "vocab_size must be the corpus's, 50"),
        ("task.model.encoder.max_position_embeddings=16", "at least the corpus's 24"),
        ("task.model.encoder.type_vocab_size=1", "type_vocab_size of at least 2"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(tiny_corpus: Any, override: str, message: str, tiny_config: Any) -> None:
    directory = str(tiny_corpus.directory)
    config = apply_overrides(tiny_config(), [override])
    with pytest.raises(CorpusError, match=message):
        resolve(config, open_corpora(directory))


def test_a_head_without_labels_is_refused(tiny_corpus: Any, tiny_config: Any) -> None:
    corpora = open_corpora(str(tiny_corpus.directory))
    spec = dataclasses.replace(corpora.manifest.spec, next_sentence=False)
    corpora = dataclasses.replace(corpora, manifests=(dataclasses.replace(corpora.manifest, spec=spec),))
    with pytest.raises(CorpusError, match="no next-sentence labels"):
        resolve(tiny_config(), corpora)


def test_a_corpus_without_validation_trains(tmp_path: Path, write_corpus: Any, capsys: Any, tiny_config: Any) -> None:
    corpus = write_corpus(tmp_path / "corpus", train=(40,), validation=())
    config = tiny_config(train_steps=3, optimizer={"warmup_steps": 1})
    run = str(tmp_path / "run")
    results = pretrain(config, str(corpus.directory), run, show_progress=False)
    assert results["validation"] is None
    assert results["model_step"] == 3
    assert "training" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision(finished: Path, tiny_corpus: Any, tmp_path: Path, tiny_config: Any, dtype: str) -> None:
    """It trains as float32 does, and what is saved computes in float32."""
    config = tiny_config(train_steps=6, checkpoint_interval=3, validation_interval=6, optimizer={"warmup_steps": 1})
    config = apply_overrides(config, [f"runtime.mixed_precision_dtype={dtype}"])
    run = tmp_path / "run"
    pretrain(config, str(tiny_corpus.directory), str(run), show_progress=False)
    rows = read_log(run)
    assert rows[0]["loss"] == pytest.approx(read_log(finished)[0]["loss"], rel=0.1)  # Other elements are dropped.
    if dtype == "float16":  # It begins at 2 ** 15, where some gradients overflow.
        assert 1 < rows[-2]["loss_scale"] <= 2.0**15
    else:
        assert "loss_scale" not in rows[-2]
    model = keras.saving.load_model(run / "model.keras", compile=False)
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_training_learns_the_rule(tmp_path: Path, write_corpus: Any, tiny_config: Any) -> None:
    """Sentences repeat one word: a model that sees the others beats token frequencies."""
    corpus = str(write_corpus(tmp_path / "corpus", train=(1000, 1000)).directory)
    config = tiny_config(train_steps=600, summary_interval=100, validation_interval=600, seed=1)
    run = str(tmp_path / "run")
    results = pretrain(config, corpus, run, show_progress=False)
    assert results["unigram_cross_entropy"] == pytest.approx(math.log(45), abs=0.3)
    assert results["validation"]["lm_example_loss"] < 0.5 * results["unigram_cross_entropy"]
    best = predict(run, ["w10 w10 w10 [MASK] w10 w10 w10 w10"], top_k=3)[0][0]
    assert best[0].token == "w10"
    assert best[0].probability > best[1].probability > best[2].probability


@pytest.mark.parametrize(
    "optimizer",
    [{"epsilon": 0.0}, {"type": "lamb", "epsilon": 0.0}],
    ids=["adamw", "lamb"],
)
def test_weights_that_an_update_ruined_are_never_saved(
    tiny_corpus: Any, tmp_path: Path, tiny_config: Any, optimizer: dict[str, Any]
) -> None:
    """And the message says that it was the update, not the data."""
    config = tiny_config(checkpoint_interval=1, optimizer={"warmup_steps": 0, **optimizer})
    config = apply_overrides(config, ["task.model.encoder.type_vocab_size=3"])  # A row without gradients: 0 / 0.
    run = tmp_path / "run"
    for _ in range(2):
        with pytest.raises(TrainingError, match="The update of step 1 made weights") as raised:
            pretrain(config, str(tiny_corpus.directory), str(run), show_progress=False)
        assert "Nothing of this step was saved; there is no checkpoint yet." in str(raised.value)
        assert "shards" not in str(raised.value)
    assert not list((run / "checkpoints").glob("*.index"))
    assert read_log(run) == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_an_evaluation_that_is_no_number_chooses_no_model(tmp_path: Path, loss: float) -> None:
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    state = TrainingState(
        str(tmp_path), model, optimizer, LossScale(RuntimeConfig()), OBJECTIVES, Clock.create(), max_to_keep=1
    )
    for step, value in enumerate([loss, 2.0, loss], start=1):
        state.step.assign(step)
        state.note_validation(value)
    assert (int(state.best_step), float(state.best_loss)) == (2, 2.0)


def test_a_checkpoint_with_nan_gives_way_to_the_one_before(
    finished: Path, tiny_corpus: Any, tmp_path: Path, capsys: Any, tiny_config: Any
) -> None:
    """Other programs, and versions before this one, may have written it."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for name in ("results.json", "model.keras"):
        (run / name).unlink()
    prefix = str(run / "checkpoints" / "step-24")
    reader = tf.train.load_checkpoint(prefix)
    name = next(
        name for name in reader.get_variable_to_shape_map() if name.startswith("optimizer/") and "veloc" in name
    )
    values = reader.get_tensor(name)
    path = Path(f"{prefix}.data-00000-of-00001")
    assert path.read_bytes().count(values.tobytes()) == 1
    path.write_bytes(path.read_bytes().replace(values.tobytes(), np.full_like(values, np.nan).tobytes()))
    pretrain(tiny_config(), str(tiny_corpus.directory), str(run), show_progress=False)
    printed = capsys.readouterr().out
    assert "step-24 is damaged" in printed
    assert "continuing from step 20" in printed
    assert read_log(run) == read_log(finished)
