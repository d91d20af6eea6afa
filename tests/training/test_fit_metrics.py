"""What `fit` and `evaluate` report: means over all predictions and over all examples, computed again in numpy."""

from __future__ import annotations

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
