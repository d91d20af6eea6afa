"""Training on many devices: what is refused here, and in processes of their own, what comes of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.tree import apply_overrides, dump_yaml
from pipeline.errors import ConfigError
from pipeline.training.configs import ExperimentConfig, RuntimeConfig
from pipeline.training.distribution import build_strategy, is_chief

# Small updates without dropout: what differs by a rounding stays so.
EXACT = [
    "trainer.optimizer.epsilon=1.0",
    "trainer.train_steps=12",
    "task.model.encoder.dropout_rate=0.0",
    "task.model.encoder.attention_dropout_rate=0.0",
    "task.model.cls_heads=[{name: next_sentence, inner_dim: 16}]",
    "task.validation_data.global_batch_size=8",
]
RUN = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
import tensorflow as tf
config, corpus, run, devices = sys.argv[1:]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(devices))
from pipeline.config.tree import load_yaml
from pipeline.training.configs import ExperimentConfig
from pipeline.training.run import pretrain
pretrain(load_yaml(ExperimentConfig, config), corpus, run, show_progress=False)
"""


@pytest.fixture(scope="module")
def exact_config(tiny_config: Any) -> Any:
    """Makes a configuration whose runs may be compared weight by weight."""
    config = apply_overrides(tiny_config(checkpoint_interval=3), EXACT)
    return lambda *overrides: apply_overrides(config, overrides)


def start(config: ExperimentConfig, corpus: Path, run: Path, *, devices: int = 1, **environment: str) -> Any:
    run.parent.mkdir(exist_ok=True)
    path = run.with_name(f"{run.name}.yaml")
    path.write_text(dump_yaml(config))
    command = [sys.executable, "-c", RUN, str(path), str(corpus), str(run), str(devices)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: Any, *, code: int = 0) -> str:
    out, err = process.communicate(timeout=400)
    assert process.returncode == code, err[-3000:]
    return str(out + err)


def weights(run: Path) -> list[np.ndarray]:
    import keras

    import pipeline.training.modeling  # noqa: F401  Registers what the file holds.

    return keras.saving.load_model(run / "model.keras", compile=False).get_weights()


def assert_same(run: Path, expected: Path) -> None:
    """Losses, evaluations and weights equal but for rounding."""
    logs = [[json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()] for path in (run, expected)]
    for row, other in zip(*logs, strict=True):
        for name in ("split", "sources", "measures"):
            assert row.pop(name, None) == other.pop(name, None)
        assert row == pytest.approx(other, rel=1e-5, abs=1e-6)
    for one, other in zip(weights(run), weights(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.fixture(scope="module")
def corpus(write_corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with all its training examples in one file, so that two processes divide every batch between them."""
    return write_corpus(tmp_path_factory.mktemp("corpora") / "corpus", train=(160,)).directory


@pytest.fixture(scope="module")
def alone(exact_config: Any, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one device."""
    run = tmp_path_factory.mktemp("alone") / "run"
    finish(start(exact_config(), corpus, run))
    return run


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_two_devices_train_as_one_does(
    alone: Path, exact_config: Any, corpus: Path, tmp_path: Path, parts: int
) -> None:
    """The validation split has 33 examples: not every device gets as many."""
    config = exact_config("runtime.distribution_strategy=mirrored", f"trainer.accumulation_steps={parts}")
    finish(start(config, corpus, tmp_path / "run", devices=2))
    assert_same(tmp_path / "run", alone)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker_mirrored"])
def test_loops_of_steps_change_nothing_on_several_devices(
    exact_config: Any, corpus: Path, tmp_path: Path, strategy: str
) -> None:
    """Two devices, or two processes: the same bits in loops of up to four steps."""
    for steps in (1, 4):
        config = exact_config(
            f"runtime.distribution_strategy={strategy}", f"trainer.steps_per_loop={steps}",
            "trainer.summary_interval=6", "trainer.checkpoint_interval=12",
        )  # fmt: skip
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        environments = [
            {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})}
            for index in range(2)
        ]
        if strategy == "mirrored":
            environments = [{}]
        devices = 3 - len(environments)
        run = tmp_path / str(steps)
        for process in [start(config, corpus, run, devices=devices, **each) for each in environments]:
            finish(process)
    assert (tmp_path / "4" / "log.jsonl").read_bytes() == (tmp_path / "1" / "log.jsonl").read_bytes()
    for one, other in zip(weights(tmp_path / "4"), weights(tmp_path / "1"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stable_adamw", "muon"])
def test_two_devices_keep_the_same_averages(exact_config: Any, corpus: Path, tmp_path: Path, kind: str) -> None:
    """And train by other optimisers as one device does."""
    config = exact_config(f"trainer.optimizer.type={kind}", "trainer.optimizer.ema_decay=0.8")
    finish(start(config, corpus, tmp_path / "alone"))
    two = apply_overrides(config, ["runtime.distribution_strategy=mirrored", "trainer.accumulation_steps=2"])
    finish(start(two, corpus, tmp_path / "run", devices=2))
    assert_same(tmp_path / "run", tmp_path / "alone")


@pytest.mark.slow
def test_a_cluster_trains_as_one_does_and_goes_on_when_a_machine_was_lost(
    alone: Path, exact_config: Any, corpus: Path, tmp_path: Path
) -> None:
    """Two processes over the loopback interface; the second one is killed and both are started again."""
    run = tmp_path / "run"
    config = exact_config("runtime.distribution_strategy=multi_worker_mirrored")

    def start_both() -> list[Any]:
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        clusters = [
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(2)
        ]
        return [start(config, corpus, run, TF_CONFIG=json.dumps(cluster)) for cluster in clusters]

    first, second = start_both()
    log = run / "log.jsonl"
    while first.poll() is None and not (log.exists() and log.read_text().count("\n") >= 4):
        time.sleep(0.01)
    second.send_signal(signal.SIGKILL)
    assert "Lost the connection to a machine of the cluster" in finish(first, code=1)
    finish(second, code=-signal.SIGKILL)
    first, second = start_both()
    shown = finish(first)
    assert f"{run}: continuing from step " in shown
    assert "parameters" in shown
    assert "parameters" not in finish(second)  # The table is shown once.
    assert_same(run, alone)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_cluster_without_members_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RuntimeConfig(distribution_strategy="multi_worker_mirrored")
    for text in ("", "{}", "nonsense", '{"cluster": {"worker": ["a:1"]}}', '{"cluster": [], "task": {}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ConfigError, match="needs the environment variable TF_CONFIG"):
            build_strategy(config)


def test_a_tpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no TPU can be reached"):
        build_strategy(RuntimeConfig(distribution_strategy="tpu"))


@pytest.mark.parametrize(
    ("kind", "index", "chief", "expected"),
    [("worker", 0, False, True), ("worker", 1, False, False), ("worker", 0, True, False), ("chief", 0, True, True)],
)
def test_who_writes(monkeypatch: pytest.MonkeyPatch, kind: str, index: int, chief: bool, expected: bool) -> None:
    cluster = {"worker": ["a:1", "b:1"], **({"chief": ["c:1"]} if chief else {})}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))
    assert is_chief() is expected
