"""What `fit` and `evaluate` report: means over all predictions and over all examples, computed again in numpy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.configs import DataConfig, MaskedLMConfig
from pipeline.training.encoders import EncoderConfig
from pipeline.training.masked_lm import MaskedLMTask

SMALL_ENCODER = EncoderConfig(
    vocab_size=50,
    hidden_size=8,
    num_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=24,
    dropout_rate=0.0,
    attention_dropout_rate=0.0,
)


def make_task(**data: Any) -> MaskedLMTask:
    """A task whose model has a next-sentence head and no dropout."""
    model = PretrainerConfig(encoder=SMALL_ENCODER, cls_heads=(ClsHeadConfig(inner_dim=8, name="next_sentence"),))
    return MaskedLMTask(MaskedLMConfig(model=model, train_data=DataConfig(**data)))


def expected_metrics(model: Any, columns: dict[str, np.ndarray]) -> dict[str, float]:
    """The metrics of all examples, none of which stands in a batch."""
    outputs = model({name: tf.constant(values) for name, values in columns.items()}, training=False)

    def of(logits: Any, truth: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        scores = np.float64(logits)
        losses = np.log(np.exp(scores).sum(-1)) - np.take_along_axis(scores, truth[..., None], -1)[..., 0]
        return np.average(scores.argmax(-1) == truth, weights=weights), np.average(losses, weights=weights)

    accuracy, loss = of(outputs["mlm_logits"], columns["masked_lm_ids"], columns["masked_lm_weights"])
    labels = columns["next_sentence_labels"][:, 0]
    sentence_accuracy, sentence_loss = of(outputs["next_sentence"], labels, np.ones(len(labels)))
    return {
        "masked_lm_accuracy": accuracy,
        "lm_example_loss": loss,
        "next_sentence_accuracy": sentence_accuracy,
        "next_sentence_loss": sentence_loss,
    }


@pytest.mark.parametrize("way", ["as read", "static shapes", "two steps at once", "eager", "mirrored"])
def test_fit_and_evaluate_report_means_over_predictions_and_examples(tiny_corpus: Any, way: str) -> None:
    """Batches differ in their predictions, and the last one in its examples; weights stay (a rate of 0)."""
    strategy = tf.distribute.get_strategy()
    if way == "mirrored":
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    columns = tiny_corpus.split("train")  # 160 examples.
    task = make_task(input_path=str(tiny_corpus.directory), global_batch_size=8, is_training=False)
    if way == "static shapes":
        columns = {name: values[:128] for name, values in columns.items()}
        dataset = tf.data.Dataset.from_tensor_slices(columns).batch(32, drop_remainder=True)
    elif way == "as read":
        columns = tiny_corpus.split("validation")  # 33 examples.
        dataset = task.build_inputs(task.task_config.train_data)
    else:
        dataset = tf.data.Dataset.from_tensor_slices(columns).batch(64)
    batches = sum(1 for _ in dataset)
    with strategy.scope():
        model = task.build_model()
        model.compile(
            optimizer=keras.optimizers.SGD(0.0),
            run_eagerly=way == "eager",
            steps_per_execution=2 if way == "two steps at once" else 1,
        )
    expected = expected_metrics(model, columns)
    history = model.fit(dataset, epochs=2, validation_data=dataset, verbose=0).history
    evaluated = model.evaluate(dataset, return_dict=True, verbose=0)
    for name, value in expected.items():
        assert history[name] == pytest.approx([value] * 2, rel=1e-5), name
        assert history[f"val_{name}"] == pytest.approx([value] * 2, rel=1e-5), name
        assert evaluated[name] == pytest.approx(value, rel=1e-5), name
    assert int(model.optimizer.iterations.value.numpy()) == 2 * batches


ON_TWO_DEVICES = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.training.test_fit_metrics import expected_metrics, make_task
draw = np.random.default_rng(0)
columns = {
    "input_word_ids": draw.integers(5, 50, (9, 12)),
    "input_mask": np.ones((9, 12)),
    "input_type_ids": draw.integers(0, 2, (9, 12)),
    "masked_lm_positions": draw.integers(0, 12, (9, 3)),
    "masked_lm_ids": draw.integers(5, 50, (9, 3)),
    "next_sentence_labels": draw.integers(0, 2, (9, 1)),
}
columns = {name: values.astype(np.int32) for name, values in columns.items()}
columns["masked_lm_weights"] = np.ones((9, 3), np.float32)
dataset = tf.data.Dataset.from_tensor_slices(columns).batch(4)  # The last one leaves a device without examples.
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = make_task().build_model()
    model.compile(optimizer=keras.optimizers.SGD(0.0))
logs = model.fit(dataset, validation_data=dataset, verbose=0).history
expected = expected_metrics(model, columns)
expected["loss"] = expected["lm_example_loss"] + expected["next_sentence_loss"]
for name, value in expected.items():
    np.testing.assert_allclose([logs[name][0], logs[f"val_{name}"][0]], value, rtol=1e-5, err_msg=name)
"""


@pytest.mark.slow
def test_a_device_without_examples_changes_no_metric() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_DEVICES],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
