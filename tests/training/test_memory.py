"""The memory that a step needs: the estimate, what follows from it, and what a process really takes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config.tree import apply_overrides, load_yaml
from pipeline.training import memory
from pipeline.training import run as run_module
from pipeline.training.configs import ExperimentConfig
from pipeline.training.corpora import open_corpora
from pipeline.training.encoders import BaseEncoderConfig, EncoderConfig, ModernBertEncoderConfig
from pipeline.training.memory import Pass, evaluation_batch, fit, host_memory, pass_bytes, step_bytes, weights_of
from pipeline.training.run import pretrain
from pipeline.training.run_folder import RunFolder

SMALL = EncoderConfig(hidden_size=64, num_layers=2, num_attention_heads=2, intermediate_size=256)
LONG = Pass(examples=8, length=512, predictions=77, packed=False)


def test_the_formula() -> None:
    """By hand: blocks, attention, logits; then what else there may be."""
    of_blocks, of_attention = 4096 * 2 * (16 * 64 + 5 * 256), 4096 * 2 * 2 * 512 * 2.75
    of_logits = 8 * 77 * 1000 * 5
    assert pass_bytes(SMALL, 1000, LONG) == 4 * (of_blocks + of_attention + of_logits)
    packed = pass_bytes(SMALL, 1000, LONG._replace(packed=True))
    assert packed == 4 * (of_blocks + of_attention + of_logits + 4096 * 512 * 6)
    gated = pass_bytes(dataclasses.replace(SMALL, mlp="geglu"), 1000, LONG)
    assert gated == 4 * (of_blocks + 4096 * 2 * 5 * 256 + of_attention + of_logits)
    local = ModernBertEncoderConfig(
        hidden_size=64, num_layers=4, num_attention_heads=2, intermediate_size=256, mlp="dense", local_attention=64
    )
    keys = 512 + 256 + 256 + 512  # Every third block attends to the whole row.
    expected = 4096 * 4 * (16 * 64 + 5 * 256) + 4096 * 2 * keys * 2.75 + of_logits
    assert pass_bytes(local, 1000, LONG) == 4 * expected
    deep = dataclasses.replace(SMALL, num_layers=12)
    assert pass_bytes(deep, 1000, LONG, training=False) == pass_bytes(SMALL, 1000, LONG)
    assert weights_of(SMALL, 1000) == 1000 * 64 + 2 * (4 * 64 * 64 + 2 * 64 * 256)
    assert weights_of(dataclasses.replace(SMALL, type="albert", embedding_size=16), 1000) == 16000 + 49152


def test_an_encoder_of_other_options_is_not_guessed() -> None:
    class Other(BaseEncoderConfig):
        type, hidden_size = "other", 64

        def build(self, vocab_size: int) -> Any: ...

    assert weights_of(Other(), 1000) is None
    assert pass_bytes(Other(), 1000, LONG) is None


def test_as_few_parts_as_fit(tiny_corpus: Any, tiny_config: Any) -> None:
    corpora = open_corpora(str(tiny_corpus.directory))
    config = apply_overrides(tiny_config(), ["task.train_data.global_batch_size=24"])

    def parts(available: float | None, *, replicas: int = 1, held: int | None = None) -> int:
        return fit(config, corpora, replicas=replicas, available=available, held=held).parts

    def needed(parts: int) -> float:
        trainer = dataclasses.replace(config.trainer, accumulation_steps=parts)
        of_parts = dataclasses.replace(config, trainer=trainer)
        found = fit(of_parts, corpora, replicas=1, available=1.0)
        assert found.parts == parts
        assert found.needed is not None
        assert "more than the 0.0 GB" in str(found.note())
        return found.needed

    assert parts(None) == 1
    assert [parts(needed(count)) for count in (1, 2, 3, 8, 24)] == [1, 2, 3, 8, 24]
    assert [parts(needed(count) - 1) for count in (1, 3, 12, 24)] == [2, 4, 24, 24]  # Only what divides the batch.
    assert parts(needed(6), replicas=2) == 3
    assert parts(needed(8), held=2) == 2
    assert fit(config, corpora, replicas=1, available=needed(1)).note() is None
    assert fit(config, corpora, replicas=1, available=None).note() is None
    # Evaluations are divided as well; a step of as many examples takes more.
    assert evaluation_batch(config, corpora, replicas=1, available=None) == 16
    assert evaluation_batch(config, corpora, replicas=1, available=1.0) == 1
    assert evaluation_batch(config, corpora, replicas=2, available=1.0) == 2


def test_what_control_groups_leave(tmp_path: Path) -> None:
    whole = host_memory(str(tmp_path))
    assert whole >= 2**30
    (tmp_path / "proc/self").mkdir(parents=True)
    inner = tmp_path / "sys/fs/cgroup/jobs/one"
    inner.mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/jobs/one\n")
    (inner / "memory.max").write_text("max\n")
    assert host_memory(str(tmp_path)) == whole
    (inner.parent / "memory.max").write_text(f"{2**28}\n")
    assert host_memory(str(tmp_path)) == 2**28
    # Version 1; a container sees its own group's files at the top.
    (tmp_path / "proc/self/cgroup").write_text("5:cpu:/docker/x\n7:memory:/docker/x\n")
    (tmp_path / "sys/fs/cgroup/memory").mkdir()
    (tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes").write_text(f"{2**27}\n")
    assert host_memory(str(tmp_path)) == 2**27
    (tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert host_memory(str(tmp_path)) == whole


def test_what_the_driver_of_a_gpu_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of NVIDIA's: its functions return 0, or an error."""

    def total_memory(total: Any, device: Any) -> int:
        total._obj.value = 80 * 10**9
        return 0

    driver = SimpleNamespace(cuInit=lambda flags: 0, cuDeviceGet=lambda device, number: 0)
    monkeypatch.setattr("ctypes.CDLL", lambda name: driver)
    assert memory._gpu_memory() is None  # It lacks a function.
    driver.cuDeviceTotalMem_v2 = total_memory
    assert memory._gpu_memory() == 80 * 10**9
    driver.cuInit = lambda flags: 100
    assert memory._gpu_memory() is None


def test_a_run_keeps_its_parts(
    tiny_corpus: Any, tiny_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """They are chosen once; on another machine the same command continues with them, and warns."""
    run, corpus = tmp_path / "run", str(tiny_corpus.directory)
    config = tiny_config(train_steps=6, checkpoint_interval=3, validation_interval=6)
    limit = fit(
        apply_overrides(config, ["trainer.accumulation_steps=4"]),
        open_corpora(corpus),
        replicas=1,
        available=None,
    ).needed
    monkeypatch.setattr(run_module, "available_memory", lambda replicas: limit)
    pretrain(config, corpus, str(run), show_progress=False)
    assert "in 4 parts, one after another (trainer.accumulation_steps)" in " ".join(capsys.readouterr().out.split())
    held = load_yaml(ExperimentConfig, str(run / "config.yaml"))
    assert held.trainer.accumulation_steps == 4
    undisturbed = RunFolder(str(run)).read_log()
    # The last checkpoint is lost, and the machine is another one.
    (run / "results.json").unlink()
    for path in (run / "checkpoints").glob("step-6*"):
        path.unlink()
    monkeypatch.setattr(run_module, "available_memory", lambda replicas: 1.0)
    pretrain(config, corpus, str(run), show_progress=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "continuing from step 3" in shown
    assert "steps 6; continues after step 3" in shown
    assert "note: a step needs about 1.2 GB, more than the 0.0 GB" in shown
    (*steps, last), (*expected, evaluated) = RunFolder(str(run)).read_log(), undisturbed
    assert steps == expected
    assert last["loss"] == pytest.approx(evaluated["loss"], abs=1e-5)  # Evaluated one example at a time.
    assert load_yaml(ExperimentConfig, str(run / "config.yaml")) == held


PEAK = """
import json, sys
import numpy as np, tensorflow as tf
from pipeline.config.tree import from_dict
from pipeline.inspection.estimate import peak_memory
from pipeline.training.configs import ExperimentConfig
from pipeline.training.loop.train_step import TrainStep
from pipeline.training.masked_lm import MaskedLMTask
from pipeline.training.optimization.build import build_optimizer
from pipeline.training.optimization.clock import Clock

encoder, (examples, length, predictions, packed), parts = json.loads(sys.argv[1])
config = from_dict(ExperimentConfig, {"task": {"model": {"encoder": encoder, "cls_heads": []}}})
task = MaskedLMTask(config.task)
model = task.build_model()
optimizer = build_optimizer(config.trainer.optimizer, 100_000, model.trainable_variables, Clock.create())
draw = np.random.default_rng(0)
shape, chosen = (parts * examples, length), (parts * examples, predictions)
batch = {
    "input_word_ids": draw.integers(6, 1000, shape), "input_mask": np.ones(shape), "input_type_ids": np.zeros(shape),
    "masked_lm_positions": draw.integers(length, size=chosen), "masked_lm_ids": draw.integers(6, 1000, chosen),
}
if packed:
    batch["input_sequence_ids"] = np.arange(length) // (length // 4) + np.ones(shape)
batch = {name: tf.constant(value.astype(np.int32)) for name, value in batch.items()}
batch["masked_lm_weights"] = tf.ones(chosen)
spec = {name: tf.TensorSpec([None, None], value.dtype) for name, value in batch.items()}
step = TrainStep(task, model, optimizer, spec, parts=parts)
for number in range(3):
    step(batch, number)
print(peak_memory())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hidden", "layers", "shape", "parts"),
    [
        (256, 4, Pass(8, 128, 20, packed=False), 4),
        (256, 4, Pass(8, 512, 77, packed=True), 1),
    ],
)
def test_the_estimate_is_above_what_a_process_takes(hidden: int, layers: int, shape: Pass, parts: int) -> None:
    values = {"hidden_size": hidden, "num_layers": layers, "num_attention_heads": hidden // 64}
    encoder = EncoderConfig(vocab_size=30_000, intermediate_size=4 * hidden, **values)
    arguments = json.dumps([{"type": "bert", **dataclasses.asdict(encoder)}, shape, parts])
    done = subprocess.run([sys.executable, "-c", PEAK, arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    estimate = step_bytes(encoder, 30_000, [shape])
    assert estimate is not None
    assert 1.0 < estimate / int(done.stdout) < 1.6
