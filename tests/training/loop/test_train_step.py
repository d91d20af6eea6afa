"""A step of the optimiser: parts, clipping, scaling, and what is not finite."""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.configs import MaskedLMConfig, OptimizerConfig
from pipeline.training.encoders import EncoderConfig
from pipeline.training.finite import not_finite
from pipeline.training.loop.train_step import TrainStep
from pipeline.training.masked_lm import MaskedLMTask
from pipeline.training.optimization.build import build_optimizer


def make_parts(dropout: float = 0.0, heads_only: bool = False, **options: Any) -> tuple[TrainStep, Any]:
    """A step and its model, the same in every call; or a step that leaves the encoder alone."""
    keras.utils.set_random_seed(3)
    encoder = EncoderConfig(
        vocab_size=50, hidden_size=16, num_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, dropout_rate=dropout, attention_dropout_rate=dropout,
    )  # fmt: skip
    head = ClsHeadConfig(inner_dim=16, name="next_sentence")
    task = MaskedLMTask(MaskedLMConfig(model=PretrainerConfig(encoder=encoder, cls_heads=(head,))))
    model = task.build_model()
    # Plain steps: what differs by a rounding must not become the sign of an update.
    config = OptimizerConfig(
        learning_rate=1e-2, warmup_steps=0, epsilon=1.0, weight_decay_rate=0.0, gradient_clip_norm=0.0
    )
    optimizer = build_optimizer(config, 100, model.trainable_variables)
    spec = {name: tf.TensorSpec([None, None], array.dtype) for name, array in make_batch().items()}
    frozen = model.encoder_network.trainable_variables if heads_only else ()
    return TrainStep(task, model, optimizer, spec, frozen=frozen, **options), model


def make_batch() -> dict[str, np.ndarray]:
    """Eight examples of 5 to 24 tokens and 1 to 4 predictions."""
    rng = np.random.default_rng(1)
    lengths = np.array([24, 5, 17, 9, 11, 24, 6, 13])
    mask = (np.arange(24) < lengths[:, None]).astype(np.int32)
    predictions = rng.integers(1, 5, size=(8, 1))
    return {
        "input_word_ids": (rng.integers(5, 50, size=(8, 24)) * mask).astype(np.int32),
        "input_mask": mask,
        "input_type_ids": np.zeros((8, 24), np.int32),
        "masked_lm_positions": np.tile(np.arange(1, 5), (8, 1)).astype(np.int32),
        "masked_lm_ids": rng.integers(5, 50, size=(8, 4)).astype(np.int32),
        "masked_lm_weights": (np.arange(4) < predictions).astype(np.float32),
        "next_sentence_labels": rng.integers(0, 2, size=(8, 1)).astype(np.int32),
    }


def weights_after(step: TrainStep, model: Any, steps: int = 2, **options: Any) -> list[np.ndarray]:
    batch = {name: tf.constant(value) for name, value in make_batch().items()}
    for number in range(steps):
        assert step(batch, number, **options).applied
    return model.get_weights()


def assert_close(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float = 1e-6) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.fixture(scope="module")
def plain() -> list[np.ndarray]:
    """Weights after two plain steps."""
    return weights_after(*make_parts())


def test_a_step_is_the_tasks_step(plain: list[np.ndarray]) -> None:
    step, model = make_parts()
    batch = {name: tf.constant(value) for name, value in make_batch().items()}
    before = model.get_weights()
    for _ in range(2):
        logs = step._task.train_step(batch, model, step._optimizer, step._task.build_metrics())
    assert_close(model.get_weights(), plain)
    model.set_weights(before)
    assert step(batch, 0).loss > float(logs["loss"])


@pytest.mark.parametrize("options", [{"parts": 4}, {"parts": 2, "static_shapes": True}, {"enable_xla": True}])
def test_parts_and_compilation_change_nothing(plain: list[np.ndarray], options: dict[str, Any]) -> None:
    assert_close(weights_after(*make_parts(**options)), plain)


def test_the_losses_scale_changes_nothing(plain: list[np.ndarray]) -> None:
    assert_close(weights_after(*make_parts(), loss_scale=1024.0), plain)


@pytest.mark.parametrize(("policy", "scale"), [("mixed_bfloat16", 1.0), ("mixed_float16", 128.0)])
def test_shorter_numbers_give_nearly_the_same(plain: list[np.ndarray], policy: str, scale: float) -> None:
    before = make_parts()[1].get_weights()
    keras.config.set_dtype_policy(policy)
    try:
        found = weights_after(*make_parts(), loss_scale=scale)
    finally:
        keras.config.set_dtype_policy("float32")
    moved, differing = (
        sum(float(np.square(one - other).sum()) for one, other in zip(weights, plain, strict=True)) ** 0.5
        for weights in (before, found)
    )
    assert 0 < differing < 0.05 * moved


def test_what_a_step_tells() -> None:
    step, _ = make_parts(parts=2)
    batch = make_batch()
    result = step({name: tf.constant(value) for name, value in batch.items()}, 0, stop=True)
    assert result.stop
    assert result.tokens == batch["input_mask"].sum()
    assert result.sums["lm_weight"] == batch["masked_lm_weights"].sum()
    assert result.sums["sentence_weight"] == 8
    mean = result.sums["lm_loss"] / result.sums["lm_weight"] + result.sums["sentence_loss"] / 8
    assert result.loss == pytest.approx(mean, rel=1e-5)


def test_gradients_are_clipped_by_their_global_norm() -> None:
    norms = [
        sum(float(np.square(after - before).sum()) for before, after in zip(start, weights, strict=True)) ** 0.5
        for clip in (0.0, 0.01)
        for step, model in [make_parts(clip_norm=clip)]
        for start, weights in [(model.get_weights(), weights_after(step, model, steps=1))]
    ]
    assert norms[1] < 0.05 * norms[0]


def test_dropout_follows_from_seed_and_step() -> None:
    batch = {name: tf.constant(value) for name, value in make_batch().items()}
    step, _ = make_parts(dropout=0.5, seed=1, clip_norm=1e-30)  # Nothing is learned: only the dropout differs.
    losses = [step(batch, number).loss for number in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    other, _ = make_parts(dropout=0.5, seed=2, clip_norm=1e-30)
    assert other(batch, 0).loss != losses[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_does_not_touch_the_weights(value: float) -> None:
    step, model = make_parts()
    batch = {name: tf.constant(array) for name, array in make_batch().items()}
    step(batch, 0)
    before = [variable.numpy() for variable in [*model.weights, *step._optimizer.variables]]
    poisoned = {**batch, "masked_lm_weights": batch["masked_lm_weights"] * value}
    result = step(poisoned, 1)
    assert not result.applied
    assert not np.isfinite(result.loss)
    after = [variable.numpy() for variable in [*model.weights, *step._optimizer.variables]]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    overflowing = step(batch, 1, loss_scale=3e38)
    assert np.isfinite(overflowing.loss)
    assert not overflowing.applied


@pytest.mark.parametrize(
    ("ruin", "found"),
    [
        (lambda optimizer: setattr(optimizer, "epsilon", 0.0), "type_embeddings"),  # 0 / 0: no token is of type 1.
        (lambda optimizer: setattr(optimizer, "weight_decay_rate", 1e39), "transform_dense/kernel"),
        (lambda optimizer: optimizer._velocities[0].assign(optimizer._velocities[0] + np.inf), "velocity"),
    ],
)
def test_what_an_update_made_of_the_weights_is_looked_at(ruin: Any, found: str) -> None:
    step, model = make_parts()
    batch = {name: tf.constant(value) for name, value in make_batch().items()}
    ruin(step._optimizer)
    result = step(batch, 0)
    assert np.isfinite(result.loss)
    assert result.applied
    assert not result.finite
    names = not_finite([*model.weights, *step._optimizer.variables])
    assert any(found in name for name in names)


def _left_padded(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every sequence moved to the end of its row, its predictions with it."""
    moves = 24 - batch["input_mask"].sum(axis=1)
    rolled = {name: np.stack([np.roll(row, move) for row, move in zip(batch[name], moves, strict=True)])
              for name in ("input_word_ids", "input_mask", "input_type_ids")}  # fmt: skip
    return {**batch, **rolled, "masked_lm_positions": (batch["masked_lm_positions"] + moves[:, None]).astype(np.int32)}


def _with_holes(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every third token is none; of some rows the last, too."""
    return {**batch, "input_mask": batch["input_mask"] * (np.arange(24) % 3 != 2).astype(np.int32)}


@pytest.mark.parametrize("change", [_left_padded, _with_holes])
def test_parts_lose_no_token_wherever_padding_stands(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    batch = change(make_batch())
    monkeypatch.setattr(sys.modules[__name__], "make_batch", lambda: batch)
    whole = weights_after(*make_parts(static_shapes=True))
    assert_close(weights_after(*make_parts(parts=4)), whole)
