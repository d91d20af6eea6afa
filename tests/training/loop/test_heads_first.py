"""Weights that are trained alone in the first steps of a run."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.training.configs import ExperimentConfig, MaskedLMConfig, OptimizerConfig, TrainerConfig
from pipeline.training.loop.heads_first import HeadsFirst
from pipeline.training.loop.step_loop import LoopLength
from pipeline.training.optimization.build import build_optimizer
from tests.training.loop.test_train_step import make_batch, make_parts


def test_which_weights_are_frozen_and_what_is_said() -> None:
    _, model = make_parts()
    weights = model.trainable_variables
    first = HeadsFirst(1500)
    assert first.frozen(weights) == []
    nothing = "trainer.heads_only_steps has nothing to do: the model has all its heads"
    assert first.describe(model) == nothing
    heads = [*model.masked_lm.trainable_variables, model.classification_heads[0].out_proj.kernel]
    first.choose([weight.path for weight in heads])
    others = first.frozen(weights)
    assert {id(weight) for weight in (*others, *heads)} == {id(weight) for weight in weights}
    assert len(others) == len(weights) - len(heads)
    assert first.describe(model) == (
        "steps 1 to 1,500 train only what was lacking of the masked-LM and the next_sentence head, 386 parameters; all"
        " else is frozen in them (trainer.heads_only_steps)"
    )
    none = HeadsFirst(0)
    none.choose([weight.path for weight in model.masked_lm.trainable_variables])
    assert none.frozen(weights) == []


@pytest.mark.parametrize(
    "options", [{}, *(pytest.param(o, marks=pytest.mark.slow) for o in ({"parts": 4}, {"enable_xla": True}))]
)
def test_frozen_weights_stay_and_have_no_part_in_the_norm(options: dict[str, Any]) -> None:
    batch = {name: tf.constant(value) for name, value in make_batch().items()}
    norms = []
    for heads_only in (False, True):
        step, model = make_parts(heads_only=heads_only, **options)
        before = {weight.path: np.array(weight) for weight in model.trainable_variables}
        norms.append(step(batch, 0).gradient_norm)
        moved = {
            path for weight in model.trainable_variables if (before[path := weight.path] != np.array(weight)).any()
        }
        encoders = {weight.path for weight in model.encoder_network.trainable_variables}
        assert (moved & encoders == set()) is heads_only
        assert before.keys() - encoders <= moved
    assert 0 < norms[1] < norms[0]


@pytest.mark.parametrize("kind", ["adamw", "lamb", "stable_adamw", "muon"])
def test_moments_of_weights_that_start_late_know_nothing_of_the_steps_before(kind: str) -> None:
    """Such a weight moves as it does by an optimiser that begins when it does."""
    config = OptimizerConfig(type=kind, learning_rate=0.1, warmup_steps=0, decay="constant", beta_2=0.99)
    draw = np.random.default_rng(1)
    gradients = [tf.constant(draw.normal(size=(4, 3)), tf.float32) for _ in range(3)]
    moved = []
    for before in (0, 5):
        weights = [keras.Variable(np.ones((4, 3)), name=name) for name in ("early_embedding", "late_embedding")]
        optimizer = build_optimizer(config, 100, weights)
        optimizer.start_late(weights[1:], before)
        for _ in range(before):
            optimizer.update_step(gradients[0], weights[0], 0.1)
            optimizer.iterations.assign_add(1)
        for gradient in gradients:
            optimizer.update_step(gradient, weights[1], 0.1)
            optimizer.iterations.assign_add(1)
        moved.append(np.array(weights[1]))
    np.testing.assert_array_equal(*moved)
    assert not np.allclose(moved[0], 1.0)


def test_the_rate_of_weights_that_start_late_has_a_warm_up_of_its_own() -> None:
    weights = [keras.Variable(np.ones((4, 3)), name=name) for name in ("early", "late")]
    optimizer = build_optimizer(OptimizerConfig(warmup_steps=0), 100, weights)
    rate = tf.constant(0.5)
    assert optimizer.rate_of(weights[1], rate) is rate
    optimizer.start_late(weights[1:], 10, warmup_steps=4)
    found = []
    for step in (10, 11, 13, 14, 50):
        optimizer.iterations.assign(step)
        assert optimizer.rate_of(weights[0], rate) is rate
        found.append(float(optimizer.rate_of(weights[1], rate)))
    assert found == [0.125, 0.25, 0.5, 0.5, 0.5]


def test_a_loop_ends_with_the_steps_of_heads_alone() -> None:
    trainer = TrainerConfig(heads_only_steps=7, steps_per_loop=5, optimizer=OptimizerConfig(warmup_steps=0))
    length = LoopLength(trainer, alone=True)
    assert [length.after(step) for step in (0, 5, 7)] == [5, 2, 5]


def test_what_cannot_be_is_refused() -> None:
    optimizer = OptimizerConfig(warmup_steps=0)
    with pytest.raises(ConfigError, match=r"heads_only_steps must be less than train_steps\. Received: 9 and 9"):
        TrainerConfig(train_steps=9, heads_only_steps=9, optimizer=optimizer)
    trainer = TrainerConfig(train_steps=9, heads_only_steps=3, optimizer=optimizer)
    with pytest.raises(ConfigError, match="heads_only_steps needs a model to start from"):
        ExperimentConfig(trainer=trainer)
    assert ExperimentConfig(trainer=trainer, task=MaskedLMConfig(init_checkpoint="model")).trainer.heads_only_steps == 3
