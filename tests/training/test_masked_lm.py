from __future__ import annotations

import dataclasses
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
from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2
from pipeline.training.modeling.classification_head import ClassificationHead
from pipeline.training.modeling.masked_lm import MaskedLM
from pipeline.training.optimization.optimizers import LAMB, AdamW


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


def test_fit_takes_the_steps_of_the_task(batch: dict[str, tf.Tensor]) -> None:
    task = make_task()
    by_task, by_fit = task.build_model(), task.build_model()
    by_fit.set_weights(by_task.get_weights())
    optimizer, metrics = keras.optimizers.SGD(0.1), task.build_metrics()
    losses = [float(task.train_step(batch, by_task, optimizer, metrics)["loss"]) for _ in range(3)]
    expected = {metric.name: float(metric.result()) for metric in metrics}
    by_fit.compile(optimizer=keras.optimizers.SGD(0.1))
    dataset = tf.data.Dataset.from_tensors(batch)
    history = by_fit.fit(dataset.repeat(3), validation_data=dataset, verbose=0).history
    for one, other in zip(by_fit.get_weights(), by_task.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    found = {name: values[0] for name, values in history.items() if not name.startswith("val_")}
    assert found == pytest.approx({"loss": np.mean(losses), **expected}, rel=1e-5)
    metrics = task.build_metrics()
    loss = float(task.validation_step(batch, by_task, metrics)["loss"])
    expected = {"loss": loss, **{metric.name: float(metric.result()) for metric in metrics}}
    assert {name: history[f"val_{name}"][0] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert by_fit.evaluate(dataset, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-5)


def test_a_loss_of_ones_own_stands_before_the_task(batch: dict[str, tf.Tensor]) -> None:
    model = make_task().build_model()
    model.compile(optimizer="sgd", loss={"next_sentence": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    pairs = tf.data.Dataset.from_tensors((batch, {"next_sentence": batch["next_sentence_labels"]}))
    assert list(model.fit(pairs, verbose=0).history) == ["loss"]


def test_a_task_leaves_no_trace_in_a_saved_model(batch: dict[str, tf.Tensor], tmp_path: Path) -> None:
    model = make_task().build_model()
    model.compile(optimizer="sgd")
    model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(batch)["mlm_logits"], model(batch)["mlm_logits"])
    loaded.set_task(make_task())
    loaded.compile(optimizer="sgd")
    assert "masked_lm_accuracy" in loaded.fit(tf.data.Dataset.from_tensors(batch), verbose=0).history


class NotScoringSinglePositions(MaskedLM):
    def call(self, sequence_data: Any, masked_positions: Any) -> Any:
        return 2 * super().call(sequence_data, masked_positions)


def test_a_customised_head_is_called_itself(batch: dict[str, tf.Tensor]) -> None:
    task = make_task()
    standard = task.build_model()
    encoder = standard.encoder_network
    head = NotScoringSinglePositions(encoder.get_embedding_table())
    model = BertPretrainerV2(encoder, classification_heads=standard.classification_heads, customized_masked_lm=head)
    labels, outputs = task.forward(batch, model, training=False)
    assert labels is batch
    np.testing.assert_array_equal(outputs["mlm_logits"], model(batch)["mlm_logits"])


def test_build_inputs_splits_the_batch_among_pipelines(tiny_corpus: Any) -> None:
    task = make_task(input_path=str(tiny_corpus.directory), global_batch_size=8)
    contexts = [tf.distribute.InputContext(2, index, num_replicas_in_sync=2) for index in range(2)]
    data = dataclasses.replace(task.task_config.train_data, is_training=False, trim=False)
    whole = np.concatenate([batch["input_word_ids"] for batch in task.build_inputs(data)])
    parts = [list(task.build_inputs(data, context)) for context in contexts]
    assert {batch["input_word_ids"].shape[0] for batches in parts for batch in batches[:-1]} == {4}
    rows = [np.concatenate([batch["input_word_ids"] for batch in batches]) for batches in parts]
    assert min(len(part) for part in rows) > 0
    assert sorted(map(bytes, np.concatenate(rows))) == sorted(map(bytes, whole))


class Penalised(ClassificationHead):
    def call(self, features: Any, only_project: bool = False, training: bool | None = None) -> Any:
        self.add_loss(tf.constant(0.25))
        return super().call(features, only_project, training)


def test_losses_that_layers_add_are_part_of_the_loss(batch: dict[str, tf.Tensor]) -> None:
    task = make_task(next_sentence=False)
    plain = task.build_model()
    head = Penalised(inner_dim=4, num_classes=3, name="topic")
    model = BertPretrainerV2(plain.encoder_network, mlm_activation=plain.mlm_activation, classification_heads=[head])
    model.masked_lm.set_weights(plain.masked_lm.get_weights())
    expected = float(task.validation_step(batch, plain, None)["loss"]) + 0.25
    for _ in range(2):  # Those of an earlier step are gone.
        assert float(task.validation_step(batch, model, None)["loss"]) == pytest.approx(expected, rel=1e-6)
    logs = task.train_step(batch, model, keras.optimizers.SGD(0.0), None)
    assert float(logs["loss"]) == pytest.approx(expected, rel=1e-6)


# === Keras's contract for steps of one's own ===


def sgd(**options: Any) -> Any:
    return keras.optimizers.SGD(0.1, **options)


def batches_of(batch: dict[str, tf.Tensor], number: int) -> list[dict[str, tf.Tensor]]:
    """The batch, with its examples' masked tokens exchanged from one to the next."""
    return [{**batch, "masked_lm_ids": tf.roll(batch["masked_lm_ids"], index, axis=0)} for index in range(number)]


def plain_keras(
    model: Any, batches: list[dict[str, tf.Tensor]], optimizer: Any, task: MaskedLMTask
) -> list[np.ndarray]:
    """Weights after what Keras's guide to custom loops does, with dense gradients and no scaling of the loss."""
    for batch in batches:
        with tf.GradientTape() as tape:
            labels, outputs = task.forward(batch, model, training=True)
            loss = task.build_losses(labels, outputs, None)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply([None if g is None else tf.convert_to_tensor(g) for g in gradients], variables)
    return model.get_weights()


@pytest.mark.parametrize(
    ("make", "plain"),
    [
        (lambda: sgd(clipnorm=0.01, weight_decay=0.1), None),
        (lambda: sgd(global_clipnorm=0.05, gradient_accumulation_steps=2), None),
        (lambda: sgd(use_ema=True, ema_momentum=0.5), None),
        (lambda: LAMB(0.01, epsilon=0.1, weight_decay_rate=0.1, global_clipnorm=0.05), None),
        (
            lambda: AdamW(0.01, epsilon=0.1, gradient_accumulation_steps=2, loss_scale_factor=1024.0),
            lambda: AdamW(0.01, epsilon=0.1, gradient_accumulation_steps=2),
        ),
        (lambda: keras.optimizers.LossScaleOptimizer(sgd(global_clipnorm=0.05)), lambda: sgd(global_clipnorm=0.05)),
        (lambda: keras.optimizers.LossScaleOptimizer(LAMB(0.01, epsilon=0.1)), lambda: LAMB(0.01, epsilon=0.1)),
    ],
    ids=["clipnorm", "accumulation", "ema", "lamb", "adamw", "loss-scale", "loss-scale-lamb"],
)
def test_optimisers_do_in_fit_what_they_do_in_plain_keras(batch: dict[str, tf.Tensor], make: Any, plain: Any) -> None:
    task = make_task()
    model, reference = task.build_model(), task.build_model()
    reference.set_weights(model.get_weights())
    batches = batches_of(batch, 4)
    optimizer = (plain or make)()
    plain_keras(reference, batches, optimizer, task)
    optimizer.finalize_variable_values(reference.trainable_variables)  # As at the end of `fit`: averages take over.
    expected = reference.get_weights()
    model.compile(optimizer=make())
    model.fit(dataset_of(batches), verbose=0)
    for found, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-6)


def dataset_of(batches: list[dict[str, tf.Tensor]]) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices({name: tf.stack([b[name] for b in batches]) for name in batches[0]})


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"steps_per_execution": 3}])
def test_the_ways_of_compile_change_nothing(batch: dict[str, tf.Tensor], options: dict[str, Any]) -> None:
    task = make_task()
    model, reference = task.build_model(), task.build_model()
    reference.set_weights(model.get_weights())
    batches = batches_of(batch, 4)
    losses = []
    for compiled, ways in ((reference, {}), (model, options)):
        compiled.compile(optimizer=sgd(), **ways)
        losses.append(compiled.fit(dataset_of(batches), verbose=0).history["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    for found, wanted in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by_fit", [True, False])
def test_float16_moves_the_weights_as_float32_does(batch: dict[str, tf.Tensor], by_fit: bool) -> None:
    """Keras wraps the optimiser of a model in float16 by itself; in loops of one's own it is wrapped by hand."""
    task = make_task()
    reference = task.build_model()
    before = reference.get_weights()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = task.build_model()
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(before)
    batches = batches_of(batch, 4)
    expected = plain_keras(reference, batches, sgd(), task)
    optimizer = keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=2.0**10)
    if by_fit:
        model.compile(optimizer=sgd())
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        model.compile(optimizer=optimizer)  # Its first scale lets no gradient overflow.
        losses = model.fit(dataset_of(batches), verbose=0).history["loss"]
        assert losses[0] < 10  # What is shown is not scaled.
    else:
        for one in batches:
            task.train_step(one, model, optimizer, None)
    moved, differing = (
        sum(float(np.square(a - b).sum()) for a, b in zip(weights, expected, strict=True)) ** 0.5
        for weights in (before, model.get_weights())
    )
    assert 0 < differing < 0.02 * moved


def test_what_fit_is_given(batch: dict[str, tf.Tensor]) -> None:
    """Labels beside the features are as good as among them; weights of examples are refused, never passed over."""
    model = make_task().build_model()
    model.compile(optimizer=sgd(clipnorm=1e-30))  # Nothing is learned.
    alone = model.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0)
    features = {name: value for name, value in batch.items() if name.startswith("input_")}
    labels = {name: value for name, value in batch.items() if name not in features}
    assert model.evaluate(tf.data.Dataset.from_tensors((features, labels)), verbose=0) == pytest.approx(alone)
    with pytest.raises(ValueError, match="masked_lm_weights"):
        model.fit(tf.data.Dataset.from_tensors((features, labels, tf.ones([8]))), verbose=0)
    with pytest.raises(ValueError, match="dictionary of features and labels"):
        model.fit(tf.data.Dataset.from_tensors((features, tf.ones([8]))), verbose=0)
