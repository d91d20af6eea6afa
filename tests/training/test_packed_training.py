"""Training and evaluating on packed rows: the numbers are those of the same examples in rows of their own."""

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
from pipeline.training.configs import MaskedLMConfig, OptimizerConfig
from pipeline.training.encoders import EncoderConfig
from pipeline.training.evaluation.baseline import count_predictions
from pipeline.training.evaluation.evaluate import _Counts, _unmasked
from pipeline.training.evaluation.scores import build_scorer
from pipeline.training.loop.train_step import TrainStep
from pipeline.training.loop.validation import build_evaluator
from pipeline.training.masked_lm import MaskedLMTask
from pipeline.training.optimization.build import build_optimizer

Batch = dict[str, np.ndarray]
ROWS = ((24,), (5, 9, 4), (6, 4, 4, 5, 5), (7,), (10, 14), (4,), (12, 12), (8, 8, 8))
TINY = {
    "vocab_size": 50, "hidden_size": 16, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 24, "dropout_rate": 0.0, "attention_dropout_rate": 0.0,
}  # fmt: skip
# The size that small models are really trained at.
REAL = {
    "vocab_size": 30_522, "hidden_size": 256, "num_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024,
    "max_position_embeddings": 128, "dropout_rate": 0.0, "attention_dropout_rate": 0.0,
}  # fmt: skip
REAL_ROWS = ((128,), (40, 88), (30, 34, 33, 31), (17, 23, 60), (25, 25, 25, 25, 28), (64, 64), (100, 12), (9,) * 14)


def make_task(**encoder: Any) -> tuple[MaskedLMTask, Any]:
    keras.utils.set_random_seed(3)
    encoder = {**TINY, **encoder}
    head = ClsHeadConfig(inner_dim=encoder["hidden_size"], name="next_sentence")
    task = MaskedLMTask(MaskedLMConfig(model=PretrainerConfig(encoder=EncoderConfig(**encoder), cls_heads=(head,))))
    return task, task.build_model()


def make_step(
    batch: Batch, encoder: dict[str, Any] | None = None, *, spec: Any = None, **options: Any
) -> tuple[TrainStep, Any]:
    """A step whose updates are proportional to the gradients, and its model."""
    task, model = make_task(**(encoder or {}))
    config = OptimizerConfig(
        learning_rate=0.5, decay="constant", warmup_steps=0, epsilon=1.0, weight_decay_rate=0.0, gradient_clip_norm=0.0
    )
    optimizer = build_optimizer(config, 100, model.trainable_variables)
    spec = spec or {name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in batch.items()}
    return TrainStep(task, model, optimizer, spec, **options), model


def tensors(batch: Batch) -> dict[str, Any]:
    return {name: tf.constant(value) for name, value in batch.items()}


def assert_same_weights(found: list[np.ndarray], expected: list[np.ndarray], before: list[np.ndarray]) -> None:
    """Both moved alike, but for roundings of each variable's largest move, and of those that all add up to nothing."""
    moves = [np.abs(other - start).max() for other, start in zip(expected, before, strict=True)]
    assert np.count_nonzero(moves) > 0.8 * len(before)
    for one, other, move in zip(found, expected, moves, strict=True):
        assert np.abs(one - other).max() <= 1e-4 * move + 2.0**-22 * max(np.abs(other).max(), *moves)


@pytest.mark.parametrize("kind", ["bert", "albert"])
@pytest.mark.parametrize("pairs", [True, False])
def test_losses_metrics_and_sums_of_a_task(make_packed: Any, kind: str, pairs: bool) -> None:
    task, model = make_task(type=kind, **({"embedding_size": 8} if kind == "albert" else {}))
    results = []
    for batch in make_packed(ROWS, pairs=pairs):
        metrics = task.build_metrics()
        logs = task.validation_step(tensors(batch), model, metrics)
        results.append({"loss": float(logs["loss"]), **{metric.name: float(metric.result()) for metric in metrics}})
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    if pairs:
        names = ("lm_example_loss", "next_sentence_loss")
        assert results[1]["loss"] == pytest.approx(sum(results[1][name] for name in names), rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [{}, {"parts": 2}, {"parts": 4, "static_shapes": True}, {"enable_xla": True}, {"enable_xla": True, "parts": 2}],
    ids=str,
)
def test_steps_move_the_weights_as_single_rows_do(make_packed: Any, options: dict[str, Any]) -> None:
    single, packed = make_packed(ROWS)
    reference, model = make_step(single)
    before = model.get_weights()
    expected = [reference(tensors(single), step) for step in range(2)]
    wanted = model.get_weights()
    step, model = make_step(packed, **options)
    found = [step(tensors(packed), number) for number in range(2)]
    for one, other in zip(found, expected, strict=True):
        assert one.applied
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4)
        assert one.tokens == other.tokens == packed["input_mask"].sum()
        assert one.sums == pytest.approx(other.sums, rel=1e-5)
    assert found[0].sums["sentence_weight"] == sum(map(len, ROWS)) == len(single["input_mask"])
    assert_same_weights(model.get_weights(), wanted, before)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("enable_xla", [True, False])
def test_one_shape_is_traced_once(make_packed: Any, parts: int, enable_xla: bool) -> None:
    """Rows of one sequence, of many, full ones and half-empty ones: nothing of a batch is cut."""
    batches = [make_packed(rows)[1] for rows in (ROWS, ((4,),) * 8, ((4, 4, 4),) * 8, ((6,) * 4,) * 8)]
    step, model = make_step(batches[0], parts=parts, enable_xla=enable_xla)
    shapes = []
    encode = model.encode
    model.encode = lambda inputs, **how: (shapes.append(inputs["input_word_ids"].shape), encode(inputs, **how))[1]
    losses = [step(tensors(batch), number).loss for number, batch in enumerate(batches)]
    assert np.isfinite(losses).all()
    assert len(set(losses)) == 4
    assert step._step.experimental_get_tracing_count() == 1
    assert {tuple(shape)[1] for shape in shapes} == {24}
    if parts > 1:
        assert step._pass.experimental_get_tracing_count() == 1


def test_shorter_numbers_give_nearly_the_same(make_packed: Any) -> None:
    single, packed = make_packed(ROWS)
    reference, _ = make_step(single)
    expected = reference(tensors(single), 0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        step, _ = make_step(packed)
        found = step(tensors(packed), 0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert found.loss != expected.loss
    assert found.loss == pytest.approx(expected.loss, rel=2.0**-8)
    assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=2.0**-5)


TWO_DEVICES = """
import sys
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.training.test_packed_training import make_step, tensors
batch = dict(np.load(sys.argv[1]))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
dataset = tf.data.Dataset.from_tensor_slices(batch).batch(4, drop_remainder=True)
batches = strategy.distribute_datasets_from_function(lambda context: dataset)
with strategy.scope():
    step, model = make_step(batch, spec=batches.element_spec, strategy=strategy, parts=2)
result = step(next(iter(batches)), 0)
np.savez(sys.argv[2], *model.get_weights(), loss=result.loss, sentences=result.sums["sentence_weight"])
"""


def test_two_devices_share_a_packed_batch(make_packed: Any, tmp_path: Path) -> None:
    """Each divides by what both have of predictions and of sequences: the first has 10 sequences, the other 8."""
    single, packed = make_packed(ROWS)
    reference, model = make_step(single)
    before = model.get_weights()
    expected = reference(tensors(single), 0)
    wanted = model.get_weights()
    np.savez(tmp_path / "batch.npz", **packed)
    command = [sys.executable, "-c", TWO_DEVICES, str(tmp_path / "batch.npz"), str(tmp_path / "found.npz")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(tmp_path / "found.npz") as found:
        assert float(found["loss"]) == pytest.approx(expected.loss, rel=1e-5)
        assert found["sentences"] == expected.sums["sentence_weight"]
        assert_same_weights([found[f"arr_{index}"] for index in range(len(wanted))], wanted, before)


# === At a size that people train at ===


def test_a_step_at_real_size(make_packed: Any) -> None:
    single, packed = make_packed(REAL_ROWS, length=128, vocab_size=30_522, predictions=4, sequences=14)
    reference, model = make_step(single, REAL)
    before = model.get_weights()
    expected = reference(tensors(single), 0)
    wanted = model.get_weights()
    step, model = make_step(packed, REAL)
    found = step(tensors(packed), 0)
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-5)
    assert found.sums == pytest.approx(expected.sums, rel=1e-6)
    assert_same_weights(model.get_weights(), wanted, before)


def test_fit_and_evaluate_at_real_size(make_packed: Any) -> None:
    """As users of Keras train: the task's model, an optimiser, and batches of packed rows."""
    histories, evaluations = [], []
    for batch in make_packed(REAL_ROWS, length=128, vocab_size=30_522, predictions=4, sequences=14):
        _, model = make_task(**REAL)
        model.compile(keras.optimizers.SGD(0.001))
        dataset = tf.data.Dataset.from_tensors(batch)
        histories.append(model.fit(dataset.repeat(2), steps_per_epoch=1, epochs=2, verbose=0).history)
        evaluations.append(model.evaluate(dataset, verbose=0, return_dict=True))
    assert {"loss", "lm_example_loss", "next_sentence_loss", "next_sentence_accuracy"} <= histories[0].keys()
    for name, values in histories[0].items():
        assert histories[1][name] == pytest.approx(values, rel=1e-5), name
    assert histories[1]["loss"][1] < histories[1]["loss"][0]
    assert evaluations[1] == pytest.approx(evaluations[0], rel=1e-5)


# === Evaluation ===


def test_validation_and_its_histograms(make_packed: Any) -> None:
    task, model = make_task()
    single, packed = make_packed(ROWS)
    expected, found = (
        build_evaluator(task, model, tf.data.Dataset.from_tensor_slices(batch).batch(3), mask_id=4)()
        for batch in (single, packed)
    )
    assert found.means == pytest.approx(expected.means, rel=1e-5)
    assert sum(counts.sum() for counts in found.histograms.values()) == packed["masked_lm_weights"].sum()
    for name, counts in expected.histograms.items():
        np.testing.assert_array_equal(found.histograms[name], counts)


def test_scores_of_single_predictions_and_of_heads(make_packed: Any) -> None:
    _, model = make_task()
    score = build_scorer(model)
    results = []
    for batch in make_packed(ROWS):
        places = np.argwhere(batch["masked_lm_weights"] > 0)
        positions = batch["masked_lm_positions"][tuple(places.T)]
        labels = batch["masked_lm_ids"][tuple(places.T)]
        scores = score(batch, np.stack([places[:, 0], positions], axis=1).astype(np.int32), labels)
        counts = _Counts()
        counts.add_heads(batch, scores.heads)
        results.append((scores, counts.heads))
    (one, head), (other, packed_head) = results
    np.testing.assert_allclose(other.losses, one.losses, rtol=1e-5)
    np.testing.assert_array_equal(other.ranks, one.ranks)
    assert packed_head == pytest.approx(head, rel=1e-5)


def test_texts_of_the_pseudo_perplexity_and_counts_of_the_baseline(make_packed: Any) -> None:
    single, packed = make_packed(ROWS)
    expected, found = (list(_unmasked(iter([batch]), pad_id=0)) for batch in (single, packed))
    assert len(found) == len(expected) == sum(map(len, ROWS))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(count_predictions([packed], 50), count_predictions([single], 50))
