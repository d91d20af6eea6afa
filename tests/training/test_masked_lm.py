from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.configs import DataConfig, MaskedLMConfig
from pipeline.training.encoders import EncoderConfig
from pipeline.training.masked_lm import MaskedLMTask


def make_task(*, next_sentence: bool = True, **data: Any) -> MaskedLMTask:
    encoder = EncoderConfig(
        vocab_size=50,
        hidden_size=8,
        num_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=24,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
    )
    heads = (ClsHeadConfig(inner_dim=8, name="next_sentence"),) if next_sentence else ()
    return MaskedLMTask(
        MaskedLMConfig(model=PretrainerConfig(encoder=encoder, cls_heads=heads), train_data=DataConfig(**data))
    )


@pytest.fixture
def batch(tiny_corpus: Any) -> dict[str, tf.Tensor]:
    task = make_task(input_path=str(tiny_corpus.directory), global_batch_size=8)
    return next(iter(task.build_inputs(task.task_config.train_data)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_losses_follow_the_formula() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5)).astype(np.float32)
    ids = np.array([[1, 4, 0], [2, 0, 0]], np.int32)
    weights = np.array([[1, 1, 0], [1, 0, 0]], np.float32)
    sentence_logits = rng.normal(size=(2, 2)).astype(np.float32)
    sentence_labels = np.array([[1], [0]], np.int32)
    task = make_task()
    metrics = task.build_metrics()
    labels = {
        "masked_lm_ids": ids,
        "masked_lm_weights": weights,
        "next_sentence_labels": sentence_labels,
    }
    outputs = {"mlm_logits": logits, "next_sentence": sentence_logits}
    loss = task.build_losses(labels, outputs, metrics, aux_losses=[tf.constant(0.25)])
    task.process_metrics(metrics, labels, outputs)

    scores = log_softmax(logits)
    lm_loss = -(scores[0, 0, 1] + scores[0, 1, 4] + scores[1, 0, 2]) / 3
    sentence_scores = log_softmax(sentence_logits)
    sentence_loss = -(sentence_scores[0, 1] + sentence_scores[1, 0]) / 2
    assert float(loss) == pytest.approx(lm_loss + sentence_loss + 0.25, rel=1e-6)
    guesses = logits.argmax(-1)
    found = {metric.name: float(metric.result()) for metric in metrics}
    assert found == {
        "masked_lm_accuracy": pytest.approx(((guesses == ids) * weights).sum() / 3),
        "lm_example_loss": pytest.approx(lm_loss, rel=1e-6),
        "next_sentence_accuracy": pytest.approx((sentence_logits.argmax(-1) == sentence_labels[:, 0]).mean()),
        "next_sentence_loss": pytest.approx(sentence_loss, rel=1e-6),
    }


def test_a_batch_without_predictions_has_no_masked_lm_loss() -> None:
    labels = {
        "masked_lm_ids": np.zeros((2, 3), np.int32),
        "masked_lm_weights": np.zeros((2, 3), np.float32),
    }
    outputs = {"mlm_logits": np.ones((2, 3, 5), np.float32)}
    assert float(make_task().build_losses(labels, outputs, None)) == 0.0


def test_logits_of_real_predictions_alone_give_the_same_loss_and_gradients(
    batch: dict[str, tf.Tensor],
) -> None:
    task = make_task()
    model = task.build_model()
    results = []
    for forward in (
        lambda: task.forward(batch, model, training=False),
        lambda: (batch, model(batch, training=False)),
    ):
        with tf.GradientTape() as tape:
            labels, outputs = forward()
            loss = task.build_losses(labels, outputs, None)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        results.append((float(loss), [None if g is None else tf.convert_to_tensor(g) for g in gradients]))
        predictions = outputs["mlm_logits"].shape[0]
    assert predictions == 8
    real = int(tf.reduce_sum(batch["masked_lm_weights"]))
    assert task.forward(batch, model, training=False)[1]["mlm_logits"].shape == (real, 50)
    (loss, gradients), (expected_loss, expected_gradients) = results
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    for found, expected in zip(gradients, expected_gradients, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_train_step_moves_against_the_gradient(batch: dict[str, tf.Tensor]) -> None:
    """A step so small that the loss falls as its gradient says: by the rate times the gradient's squared norm."""
    rate = 1e-4
    task = make_task()
    model, metrics = task.build_model(), task.build_metrics(training=True)
    with tf.GradientTape() as tape:
        labels, outputs = task.forward(batch, model, training=True)
        loss = task.build_losses(labels, outputs, None)
    variables = model.trainable_variables
    gradients = [
        None if gradient is None else tf.convert_to_tensor(gradient)
        for gradient in tape.gradient(loss, [variable.value for variable in variables])
    ]
    before = [np.asarray(variable.value) for variable in variables]

    logs = task.train_step(batch, model, keras.optimizers.SGD(rate), metrics)

    assert float(logs["loss"]) == pytest.approx(float(loss), rel=1e-6)
    for variable, old, gradient in zip(variables, before, gradients, strict=True):
        expected = old if gradient is None else old - rate * gradient.numpy()
        np.testing.assert_allclose(variable.value, expected, rtol=1e-5, atol=1e-7, err_msg=variable.path)
    squared_norm = sum(float(tf.reduce_sum(g**2)) for g in gradients if g is not None)
    after = task.validation_step(batch, model, metrics)
    assert float(loss) - float(after["loss"]) == pytest.approx(rate * squared_norm, rel=0.2)


def test_scale_loss_divides_by_the_replicas(batch: dict[str, tf.Tensor]) -> None:
    """On two replicas whose gradients are summed, as one replica on the same batch."""
    task = make_task()
    task.task_config = dataclasses.replace(task.task_config, scale_loss=True)
    strategy = tf.distribute.get_strategy()
    assert strategy.num_replicas_in_sync == 1
    model = task.build_model()
    weights = model.get_weights()
    task.train_step(batch, model, keras.optimizers.SGD(0.1), None)
    scaled = model.get_weights()
    model.set_weights(weights)
    task.task_config = dataclasses.replace(task.task_config, scale_loss=False)
    task.train_step(batch, model, keras.optimizers.SGD(0.1), None)
    for found, expected in zip(scaled, model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_metrics_without_next_sentence_head() -> None:
    names = [metric.name for metric in make_task(next_sentence=False).build_metrics()]
    assert names == ["masked_lm_accuracy", "lm_example_loss"]
    names = [m.name for m in make_task(use_next_sentence_label=False).build_metrics()]
    assert names == ["masked_lm_accuracy", "lm_example_loss"]


def test_labels_without_head_are_no_fault(batch: dict[str, tf.Tensor]) -> None:
    task = make_task(next_sentence=False)
    logs = task.validation_step(batch, task.build_model(), task.build_metrics())
    assert np.isfinite(float(logs["loss"]))


def test_dummy_inputs() -> None:
    task = make_task(input_path="dummy", seq_length=24, max_predictions_per_seq=4)
    batch = next(iter(task.build_inputs(task.task_config.train_data)))
    logs = task.train_step(batch, task.build_model(), keras.optimizers.SGD(), task.build_metrics())
    assert np.isfinite(float(logs["loss"]))
