from __future__ import annotations

import keras
import numpy as np

from pipeline.training.configs import OptimizerConfig
from pipeline.training.optimization.build import build_optimizer
from pipeline.training.optimization.muon import Muon
from pipeline.training.optimization.optimizers import LAMB, AdamW
from pipeline.training.optimization.schedules import WarmupDecay
from pipeline.training.optimization.stable_adamw import StableAdamW


def make_layer() -> keras.layers.Layer:
    block = keras.Sequential([keras.layers.Dense(3, name="dense"), keras.layers.LayerNormalization(name="layer_norm")])
    block.build((None, 2))
    rng = np.random.default_rng(0)
    for variable in block.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return block


def test_three_adamw_steps_by_hand() -> None:
    """Decoupled decay, then Adam in the form of google-research/bert and Keras (epsilon hat)."""
    block = make_layer()
    config = OptimizerConfig(
        learning_rate=0.1, warmup_steps=1, weight_decay_rate=0.3, gradient_clip_norm=1.0, epsilon=1e-3
    )
    optimizer = build_optimizer(config, 10, block.trainable_variables)
    rng = np.random.default_rng(1)
    values = {v.path: np.asarray(v.value, np.float64) for v in block.trainable_variables}
    first = {path: np.zeros_like(value) for path, value in values.items()}
    second = {path: np.zeros_like(value) for path, value in values.items()}
    for step in range(3):
        gradients = {path: rng.normal(size=value.shape) for path, value in values.items()}
        optimizer.apply(
            [keras.ops.convert_to_tensor(g, "float32") for g in gradients.values()],
            block.trainable_variables,
        )
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        rate = float(WarmupDecay(0.1, 10, 1)(step))
        for path, gradient in gradients.items():
            gradient = gradient / max(norm, 1.0)
            if path.endswith("kernel"):
                values[path] -= rate * 0.3 * values[path]
            first[path] = 0.9 * first[path] + 0.1 * gradient
            second[path] = 0.999 * second[path] + 0.001 * gradient**2
            scale = rate * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            values[path] -= scale * first[path] / (np.sqrt(second[path]) + 1e-3)
    for variable in block.trainable_variables:
        np.testing.assert_allclose(variable.value, values[variable.path], rtol=1e-5, atol=1e-6)


def test_bias_and_layer_norm_do_not_decay() -> None:
    block = make_layer()
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=0, weight_decay_rate=0.5)
    optimizer = build_optimizer(config, 10, block.trainable_variables)
    before = {v.path: np.asarray(v.value) for v in block.trainable_variables}
    zeros = [keras.ops.zeros(v.shape) for v in block.trainable_variables]
    optimizer.apply(zeros, block.trainable_variables)
    for variable in block.trainable_variables:
        factor = 1 - 0.1 * 0.5 if variable.path.endswith("dense/kernel") else 1.0
        np.testing.assert_allclose(variable.value, before[variable.path] * factor, rtol=1e-6)


def test_types_and_schedule() -> None:
    block = make_layer()
    for kind, expected in (("adamw", AdamW), ("lamb", LAMB), ("stable_adamw", StableAdamW), ("muon", Muon)):
        config = OptimizerConfig(type=kind, learning_rate=0.1, warmup_steps=0, decay="polynomial", decay_power=2.0)
        optimizer = build_optimizer(config, 10, block.trainable_variables)
        assert type(optimizer) is expected
        assert float(optimizer.learning_rate) == np.float32(0.1)
        optimizer.iterations.assign(5)
        assert abs(float(optimizer.learning_rate) - 0.025) < 1e-7
