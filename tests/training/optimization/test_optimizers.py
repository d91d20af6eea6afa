"""AdamW and LAMB, against formulas and against what tensorflow/models computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.optimization.optimizers import LAMB, AdamW

RECORDED = json.loads(Path(__file__).with_name("tensorflow_models_optimizers.json").read_text())
TYPES = {"adamw": AdamW, "lamb": LAMB}


def make_weights(values: dict[str, Any]) -> list[keras.Variable]:
    return [keras.Variable(np.asarray(v, np.float32), name=path.replace("/", "_")) for path, v in values.items()]


@pytest.mark.parametrize("kind", ["adamw", "lamb"])
def test_as_tensorflow_models(kind: str) -> None:
    recorded = RECORDED[kind]
    weights = make_weights(recorded["before"])
    options = dict(recorded["options"])
    clip = options.pop("gradient_clip_norm", None)
    optimizer = TYPES[kind](learning_rate=0.1, global_clipnorm=clip, **options)
    optimizer.build(weights)
    for step in recorded["gradients"]:
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in step.values()], weights)
    for variable, expected in zip(weights, recorded["after"].values(), strict=True):
        np.testing.assert_allclose(variable.value, expected, rtol=2e-6, atol=3e-6)


def test_three_lamb_steps_by_hand() -> None:
    """Adam's update with the decay in it, scaled to the weight's norm; neither for what is excluded."""
    rng = np.random.default_rng(3)
    values = {"dense/kernel": rng.normal(size=(3, 2)), "dense/bias": rng.normal(size=2)}
    weights = make_weights(values)
    optimizer = LAMB(0.1, weight_decay_rate=0.2, epsilon=1e-3, exclude_from_weight_decay=["bias"])
    optimizer.build(weights)
    first = {path: np.zeros_like(value) for path, value in values.items()}
    second = {path: np.zeros_like(value) for path, value in values.items()}
    for step in range(1, 4):
        gradients = {path: rng.normal(size=value.shape) for path, value in values.items()}
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in gradients.values()], weights)
        for path, gradient in gradients.items():
            first[path] = 0.9 * first[path] + 0.1 * gradient
            second[path] = 0.999 * second[path] + 0.001 * gradient**2
            update = first[path] / (1 - 0.9**step) / (np.sqrt(second[path] / (1 - 0.999**step)) + 1e-3)
            if path == "dense/kernel":
                update += 0.2 * values[path]
                update *= np.linalg.norm(values[path]) / np.linalg.norm(update)
            values[path] = values[path] - 0.1 * update
    for variable, expected in zip(weights, values.values(), strict=True):
        np.testing.assert_allclose(variable.value, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [AdamW, LAMB])
def test_configuration_round_trip(kind: Any) -> None:
    optimizer = kind(0.1, weight_decay_rate=0.2, beta_2=0.98, exclude_from_weight_decay=["bias"], global_clipnorm=2.0)
    again = kind.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert (again.weight_decay_rate, again.beta_2, again.global_clipnorm) == (0.2, 0.98, 2.0)


@pytest.mark.parametrize("kind", [AdamW, LAMB])
@pytest.mark.parametrize(
    "options", [{}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"clipvalue": 0.1}, {"gradient_accumulation_steps": 2}]
)
def test_gradients_in_slices_are_the_sums_that_they_stand_for(kind: Any, options: dict[str, Any]) -> None:
    """As lookups in an embedding give them, one row more than once."""
    start = np.random.default_rng(5).normal(size=(6, 3))
    results = []
    for dense in (True, False):
        table, bias = make_weights({"table": start, "bias": [0.5, -0.5, 1.0]})
        optimizer = kind(0.1, weight_decay_rate=0.2, epsilon=1e-3, **options)
        for ids in ([0, 2, 2, 5], [2, 1, 2, 2]):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(tf.gather(table.value, ids) + bias.value))
            gradients = tape.gradient(loss, [table.value, bias.value])
            assert isinstance(gradients[0], tf.IndexedSlices)
            if dense:
                gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
            optimizer.apply_gradients(zip(gradients, [table, bias], strict=True))
        results.append([table.numpy(), bias.numpy()])
    assert np.abs(results[0][0] - start).max() > 1e-3
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
