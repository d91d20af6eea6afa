"""StableAdamW where it differs from AdamW; test_reference.py compares its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.configs import OptimizerConfig
from pipeline.training.optimization.build import build_optimizer


def test_a_step_of_stable_adamw_shrinks_where_the_gradient_jumps() -> None:
    """And only there: one weight's gradient is a thousand times what it was, the other's is not."""
    moved = []
    for kind in ("adamw", "stable_adamw"):
        weights = [tf.Variable(np.ones(5), dtype=tf.float32, name=name) for name in ("calm", "jumping")]
        config = OptimizerConfig(
            type=kind, learning_rate=0.01, warmup_steps=0, decay="constant", weight_decay_rate=0.0,
            gradient_clip_norm=0.0,
        )  # fmt: skip
        optimizer = build_optimizer(config, 100, weights)
        for step in range(50):
            before = [weight.numpy() for weight in weights]
            gradients = [tf.fill([5], 1e-3), tf.fill([5], 1.0 if step == 49 else 1e-3)]
            optimizer.apply(gradients, weights)
        moved.append([np.abs(weight.numpy() - old).max() for weight, old in zip(weights, before, strict=True)])
    (calm, jumping), (stable_calm, stable_jumping) = moved
    assert stable_calm == pytest.approx(calm, rel=0.01)
    assert stable_jumping < 0.3 * jumping
