"""Every option of training at a size that people train at: the same losses, by the command, as without the option.

TensorFlow rewrites the graphs of small and of large models differently: what works on a tiny one may fail here.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MLM = [sys.executable, "-m", "pipeline"]
# The command where the processor counts as two devices.
TWO_DEVICES = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipeline.cli import main
sys.exit(main(sys.argv[1:]))
"""
VOCAB_SIZE = 30_522
# Plain steps without dropout: with so large an epsilon an update is proportional to the gradient, and what differs by
# a rounding stays so.
CONFIG = """
task:
  model:
    encoder: {hidden_size: 256, num_layers: 4, num_attention_heads: 4, intermediate_size: 1024,
      max_position_embeddings: 128, dropout_rate: 0.0, attention_dropout_rate: 0.0}
    cls_heads: [{name: next_sentence, inner_dim: 256}]
  train_data: {global_batch_size: 32}
  validation_data: {global_batch_size: 32}
trainer:
  train_steps: 3
  optimizer: {learning_rate: 0.5, decay: constant, warmup_steps: 0, epsilon: 1.0}
  summary_interval: 1
"""
ACCUMULATED = "trainer.accumulation_steps=4"
MIRRORED = "runtime.distribution_strategy=mirrored"
XLA = "runtime.enable_xla=true"
# Sums in another order: a rounding of float32 is 6e-8, and the norm of a gradient a sum of ten million squares.
EXACT = 1e-5
# The layers' numbers are rounded by up to 2 ** -9 and 2 ** -12 of them; the loss, of float32 logits, by less.
ROUNDED = {"bfloat16": 2.0**-9, "float16": 2.0**-12}

Losses = dict[str, list[float]]


def _mlm(*arguments: object, devices: int = 1) -> None:
    command = MLM if devices == 1 else [sys.executable, "-c", TWO_DEVICES]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([*command, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Losses]:
    """Makes runs on prose: `train(corpus, option, ...)` gives what the log says of their steps; each is made once."""
    folder = tmp_path_factory.mktemp("real-size")
    _mlm("sample-corpus", "--output", folder / "all.txt", "--no-progress")
    text = (folder / "all.txt").read_text()[:1_000_000]
    (folder / "text.txt").write_text(text[: text.rindex("\n\n")] + "\n")
    learned = (ROOT / "vocab" / "sample-uncased-8k.txt").read_text().splitlines()
    unused = [f"[unused{number}]" for number in range(VOCAB_SIZE - len(learned))]
    (folder / "vocab.txt").write_text("\n".join([*learned, *unused]) + "\n")
    (folder / "config.yaml").write_text(CONFIG)
    options = {"static": [], "dynamic": ["--masking", "dynamic"], "bins": ["--bins", "64,128"]}
    runs: dict[tuple[str, ...], Losses] = {}

    def run(corpus: str, *overrides: str) -> Losses:
        if not (folder / corpus).exists():
            _mlm("corpus", "--input", folder / "text.txt", "--format", "lines", "--vocab", folder / "vocab.txt",
                 "--validation-fraction", 0.004, "--dupe-factor", 1, "--workers", 1, "--no-progress",
                 "--output", folder / corpus, *options[corpus])  # fmt: skip
        if (corpus, *overrides) not in runs:
            directory = folder / f"run-{len(runs)}"
            _mlm("pretrain", "--config", folder / "config.yaml", "--corpus", folder / corpus, "--run", directory,
                 "--no-progress", "--params-override", "trainer.seed=1", *overrides,
                 devices=2 if MIRRORED in overrides else 1)  # fmt: skip
            rows = [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]
            runs[corpus, *overrides] = {
                name: [row.get(name, 0.0) for row in rows] for name in ("loss", "gradient_norm")
            }
        return runs[corpus, *overrides]

    return run


def assert_same(found: Losses, expected: Losses) -> None:
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=EXACT), name


def test_the_plain_run_begins_at_chance(train: Callable[..., Losses]) -> None:
    losses = train("static")
    assert losses["loss"][0] == pytest.approx(math.log(VOCAB_SIZE) + math.log(2), rel=0.02)
    assert losses["gradient_norm"][0] > 1.0  # An update moves what the next losses are compared by.


@pytest.mark.parametrize(
    "options",
    [[ACCUMULATED], [XLA], [MIRRORED], [ACCUMULATED, XLA], [ACCUMULATED, MIRRORED]],
    ids=["accumulated", "xla", "mirrored", "accumulated-xla", "accumulated-mirrored"],
)
def test_what_computes_the_same(train: Callable[..., Losses], options: list[str]) -> None:
    assert_same(train("static", *options), train("static"))


@pytest.mark.parametrize("corpus", ["dynamic", "bins"])
def test_parts_of_masks_drawn_at_reading_and_of_bins(train: Callable[..., Losses], corpus: str) -> None:
    whole = train(corpus)
    assert whole["loss"][0] == pytest.approx(math.log(VOCAB_SIZE) + math.log(2), rel=0.02)
    assert_same(train(corpus, ACCUMULATED), whole)


@pytest.mark.parametrize("dtype", list(ROUNDED))
@pytest.mark.parametrize("options", [[], [ACCUMULATED]], ids=["whole", "accumulated"])
def test_shorter_numbers_lose_no_more_than_their_roundings(
    train: Callable[..., Losses], dtype: str, options: list[str]
) -> None:
    """The third step is left out: at float16's first scale of the loss the second step's gradient overflows here."""
    found = train("static", f"runtime.mixed_precision_dtype={dtype}", *options)
    assert found["loss"][:2] == pytest.approx(train("static")["loss"][:2], rel=ROUNDED[dtype])
