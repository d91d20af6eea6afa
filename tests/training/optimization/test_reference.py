"""StableAdamW and Muon through their configuration, step by step against a reference in plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from oracles import optimizers as oracle

from pipeline.training.configs import OptimizerConfig
from pipeline.training.optimization.build import build_optimizer

ROWS = 30_522  # Of BERT's table of words.
STEPS = 14


def make_weights(rng: np.random.Generator) -> dict[str, tf.Variable]:
    """A table of words, a tall, a wide and a square matrix, and vectors, by their paths."""
    shapes = {
        "word_embeddings/table": (ROWS, 4), "query/kernel": (8, 8), "intermediate/kernel": (8, 24),
        "output/kernel": (24, 8), "output/bias": (8,), "layer_norm/gamma": (8,), "logits/kernel": (8, 2),
    }  # fmt: skip
    return {path: tf.Variable(rng.normal(size=shape), dtype=tf.float32, name=path) for path, shape in shapes.items()}


def gradients_of(weights: dict[str, tf.Variable], rng: np.random.Generator, size: float) -> list[Any]:
    """Dense ones, and for the table the slices that a lookup gives: some rows, one of them three times."""
    gradients: list[Any] = [tf.constant(size * rng.normal(size=w.shape), tf.float32) for w in weights.values()]
    rows = np.array([7, 7, 7, *rng.integers(ROWS, size=60)])
    slices = tf.constant(size * rng.normal(size=(len(rows), 4)), tf.float32)
    gradients[0] = tf.IndexedSlices(slices, tf.constant(rows), tf.constant([ROWS, 4]))
    return gradients


def dense(gradients: list[Any]) -> list[np.ndarray]:
    table = np.zeros(gradients[0].dense_shape.numpy())
    np.add.at(table, gradients[0].indices.numpy(), gradients[0].values.numpy().astype(np.float64))
    return [table, *(gradient.numpy().astype(np.float64) for gradient in gradients[1:])]


@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["stable_adamw", "muon"])
def test_as_in_numpy(kind: str, clip: float) -> None:
    """With a schedule, decay, exclusions, slices, and gradients that grow a hundredfold for a step."""
    rng = np.random.default_rng(4)
    weights = make_weights(rng)
    config = OptimizerConfig(
        type=kind, learning_rate=0.02, end_learning_rate=0.001, warmup_steps=3, decay="wsd", decay_steps=6, beta_2=0.98,
        weight_decay_rate=0.3, epsilon=1e-6, gradient_clip_norm=clip, muon_momentum=0.9,
    )  # fmt: skip
    optimizer = build_optimizer(config, STEPS, list(weights.values()))
    matrices = {"query/kernel", "intermediate/kernel", "output/kernel"}
    expected = {
        path: oracle.start(
            weight.numpy(),
            decays=path not in ("output/bias", "layer_norm/gamma"),
            orthogonal=kind == "muon" and path in matrices,
        )
        for path, weight in weights.items()
    }
    options: dict[str, Any] = {"decay": 0.3, "betas": (0.9, 0.98), "eps": 1e-6}
    update = getattr(oracle, kind)
    if kind == "muon":
        options["momentum"] = 0.9
    for step in range(STEPS):
        gradients = gradients_of(weights, rng, 1.0 if step == 9 else 0.01)
        optimizer.apply_gradients(zip(gradients, weights.values(), strict=True))
        arrays = dense(gradients)
        norm = np.sqrt(sum((array**2).sum() for array in arrays))
        factor = clip / max(norm, clip) if clip else 1.0
        rate = oracle.wsd(step, peak=0.02, warmup=3, decay=6, total=STEPS, end=0.001)
        for (path, weight), gradient in zip(expected.items(), arrays, strict=True):
            expected[path] = update(weight, factor * gradient, step + 1, rate=rate, **options)
        for path, weight in weights.items():
            np.testing.assert_allclose(weight.numpy(), expected[path].value, rtol=2e-4, atol=2e-5, err_msg=path)


@pytest.mark.parametrize("kind", ["stable_adamw", "muon"])
def test_configuration_round_trip(kind: str) -> None:
    config = OptimizerConfig(type=kind, beta_2=0.98, muon_momentum=0.8, exclude_from_muon=("table",))
    optimizer = build_optimizer(config, 20_000, [tf.Variable(tf.zeros([2, 2]), name="kernel")])
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert (again.weight_decay_rate, again.global_clipnorm) == (0.01, 1.0)
    if kind == "muon":
        assert (again.momentum, again.exclude_layers, again.adam_beta_2) == (0.8, ["table"], 0.98)
