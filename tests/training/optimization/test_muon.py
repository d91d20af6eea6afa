"""Muon's steps, and which weights take them; test_reference.py compares its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.configs import OptimizerConfig
from pipeline.training.optimization.build import build_optimizer


@pytest.mark.parametrize("shape", [(48, 16), (16, 48), (32, 32)])
def test_muons_steps_are_nearly_orthogonal(shape: tuple[int, int]) -> None:
    """All singular values within 0.6 and 1.3 of their scale, whatever the gradient's are; its directions stay."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(side, min(shape))))[0] for side in shape)
    gradient = left * np.geomspace(1.0, 0.05, min(shape)) @ right.T
    weight = tf.Variable(tf.zeros(shape), name="kernel")
    config = OptimizerConfig(type="muon", learning_rate=0.5, warmup_steps=0, decay="constant", gradient_clip_norm=0.0)
    optimizer = build_optimizer(config, 10, [weight])
    optimizer.apply([tf.constant(gradient, tf.float32)], [weight])
    update = -weight.numpy() / (0.5 * 0.2 * max(shape) ** 0.5)
    values = np.diag(left.T @ update @ right)
    assert values.min() > 0.6
    assert values.max() < 1.3
    np.testing.assert_allclose(update, left * values @ right.T, atol=1e-4)
    assert np.sqrt((weight.numpy() ** 2).mean()) == pytest.approx(0.5 * 0.2, rel=0.2)  # As a step of AdamW.


def test_who_moves_what() -> None:
    """What Muon moves has no second moment."""
    shapes = {"embeddings/table": (9, 4), "query/kernel": (4, 4), "output/kernel": (8, 4), "output/bias": (4,),
              "logits/kernel": (4, 2)}  # fmt: skip
    weights = {path: tf.Variable(tf.ones(shape), name=path) for path, shape in shapes.items()}
    config = OptimizerConfig(type="muon", exclude_from_muon=("embedding", "logits", "query"))
    optimizer = build_optimizer(config, 20_000, list(weights.values()))
    held = {path: velocity is None for path, velocity in zip(weights, optimizer.adam_velocities, strict=True)}
    assert [path for path, without in held.items() if without] == ["output/kernel"]
