"""The page's code runs as it stands there, with smaller sizes and a corpus for the bucket."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.optimization.optimizers import AdamWeightDecay

PAGE = Path(__file__).parents[2] / "docs" / "tensorflow-models.md"
# What stands on the page, and what is run for it: numbers as whole words, so that 12 is not the 12 of 512.
SIZES = {"768": "16", "12": "1", "3072": "32", "30522": "50", "128": "8", "512": "24", "76": "4"}
STEPS = {"1000": "5", "100": "2"}


def examples() -> list[str]:
    """The page's blocks of Python: an optimiser, a model by hand, a loop of one's own, fit."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    return blocks


def run(code: str, folder: Path, buckets: dict[str, str]) -> dict[str, Any]:
    """Runs code from a file, as TensorFlow wants it; returns its globals."""
    for bucket, directory in buckets.items():
        assert bucket in code
        code = code.replace(bucket, directory)
    code = re.sub(r"\b\d+\b", lambda match: {**SIZES, **STEPS}.get(match[0], match[0]), code)
    path = folder / "example.py"
    path.write_text(code, encoding="utf-8")
    return runpy.run_path(str(path))


def test_an_optimizer(tmp_path: Path) -> None:
    optimizer = run(examples()[0], tmp_path, {})["optimizer"]
    assert isinstance(optimizer, AdamWeightDecay)
    rates = [float(optimizer._learning_rate(step)) for step in (1, 5000, 10000, 100000)]
    assert rates == pytest.approx([0.9e-8, 0.45e-4, 0.9e-4, 0.0], rel=1e-5)


def test_a_model_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(examples()[1], tmp_path, {})
    model, encoder = found["model"], found["encoder"]
    assert list(model.inputs) == ["input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions"]
    assert model.outputs["mlm_logits"].shape == (None, None, 30522)
    assert found["mlm_head"].embedding_table is model.masked_lm.embedding_table is encoder.get_embedding_table()
    shown = capsys.readouterr().out
    assert "masked_lm_positions" in shown
    assert "mlm_logits" in shown


def test_a_loop_of_ones_own_and_fit(tmp_path: Path, write_corpus: Any, capfd: pytest.CaptureFixture[str]) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    buckets = {
        "gs://bucket/train/*.tfrecord": f"{directory}/train-*.tfrecord",
        "gs://bucket/val/*.tfrecord": f"{directory}/validation-*.tfrecord",
    }
    found = run("\n".join(examples()[2:]), tmp_path, buckets)
    uniform = np.log(50)  # The loss of a model that knows nothing yet.
    losses = [float(loss) for loss in re.findall(r"Step: \d+ Loss: (\S+)", "".join(capfd.readouterr()))]
    assert losses == pytest.approx([uniform] * 3, abs=0.1)  # Steps 0, 2, 4.
    # The function's metrics have outlived it, and counted every step.
    accuracy, lm_loss = found["task"]._traced_metrics[True]
    predictions = sum(float(tf.reduce_sum(batch["masked_lm_weights"])) for batch in found["train_ds"].take(5))
    assert float(lm_loss.count) == float(accuracy.count) == predictions
    assert float(lm_loss.result()) == pytest.approx(uniform, abs=0.1)
    assert 0 <= float(accuracy.result()) < 0.5
    history = found["model"].history.history
    names = ["loss", "masked_lm_accuracy", "lm_example_loss"]
    assert sorted(history) == sorted([*names, *(f"val_{name}" for name in names)])
    for name in ("loss", "lm_example_loss", "val_loss", "val_lm_example_loss"):
        assert history[name] == pytest.approx([uniform] * 3, abs=0.2)
    assert int(found["optimizer"].iterations) == 5 + 3 * 5
