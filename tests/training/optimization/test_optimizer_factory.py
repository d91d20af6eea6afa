"""Optimisers from tensorflow/models' configurations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.training.configs import RuntimeConfig
from pipeline.training.masked_lm import MaskedLMTask
from pipeline.training.optimization.configs import OptimizationConfig
from pipeline.training.optimization.optimizer_factory import LEGACY_OPTIMIZERS_CLS, OptimizerFactory
from pipeline.training.optimization.optimizers import LAMB, AdamW, AdamWeightDecay

CONSTANT = {"type": "constant", "constant": {"learning_rate": 0.1}}


def build(**config: Any) -> Any:
    factory = OptimizerFactory(OptimizationConfig({"learning_rate": CONSTANT, **config}))
    return factory.build_optimizer(factory.build_learning_rate())


def train(optimizer: Any, steps: int = 3) -> list[np.ndarray]:
    """What two weights, a kernel and a bias, have become."""
    weights = [keras.Variable(np.arange(6.0).reshape(2, 3), name="kernel"), keras.Variable([1.0, 2.0], name="bias")]
    for _ in range(steps):
        gradients = [tf.constant([[3.0, -1.0, 0.5]] * 2), tf.constant([0.1, 4.0])]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return [np.asarray(weight) for weight in weights]


@pytest.mark.parametrize("kind", sorted(LEGACY_OPTIMIZERS_CLS))
def test_every_type_trains(kind: str) -> None:
    kernel, bias = train(build(optimizer={"type": kind}))
    assert not np.allclose(kernel, np.arange(6.0).reshape(2, 3))
    assert not np.allclose(bias, [1.0, 2.0])


def test_adam_weight_decay_is_adamw_with_other_defaults() -> None:
    options = {"weight_decay_rate": 0.3, "exclude_from_weight_decay": ["bias"]}
    expected = train(AdamW(0.1, epsilon=1e-7, global_clipnorm=1.0, **options))
    for found, right in zip(train(build(optimizer={"type": "adamw", "adamw": options})), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6)
    included = AdamWeightDecay(0.1, include_in_weight_decay=["bias"], **options)
    assert train(included)[1] != pytest.approx(expected[1])
    assert AdamWeightDecay.from_config(included.get_config()).get_config() == included.get_config()


def test_the_smaller_of_two_clipping_norms_counts() -> None:
    for norms, expected in (((1.0, 5.0), 1.0), ((1.0, 0.5), 0.5), ((0.0, 5.0), 5.0), ((0.0, None), None)):
        options = {"gradient_clip_norm": norms[0], "global_clipnorm": norms[1]}
        assert build(optimizer={"type": "adamw", "adamw": options}).global_clipnorm == expected


def test_lambs_exclusions_are_two() -> None:
    options = {"weight_decay_rate": 0.3, "exclude_from_weight_decay": ["bias"]}
    both, decay_alone = train(LAMB(0.1, **options)), train(LAMB(0.1, **options, exclude_from_layer_adaptation=["no"]))
    np.testing.assert_allclose(both[0], decay_alone[0])
    assert not np.allclose(both[1], decay_alone[1])
    neither = train(LAMB(0.1, **options, exclude_from_layer_adaptation=["kernel", "bias"]))
    np.testing.assert_allclose(neither[1], both[1])
    assert not np.allclose(neither[0], both[0])


def test_decay_divides_the_rate() -> None:
    slow, fast = (
        train(build(optimizer={"type": "sgd", "sgd": {"decay": 1.0}}), 2),
        train(build(optimizer={"type": "sgd"}), 2),
    )
    np.testing.assert_allclose(slow[1], [1 - 0.01 * 1.5, 2 - 0.4 * 1.5], rtol=1e-5)
    np.testing.assert_allclose(fast[1], [1 - 0.02, 2 - 0.8], rtol=1e-5)
    np.testing.assert_allclose(float(AdamW(0.1, decay=1.0).learning_rate), 0.1)


def test_gradients_are_transformed_in_order() -> None:
    factory = OptimizerFactory(OptimizationConfig({"optimizer": {"type": "sgd"}, "learning_rate": CONSTANT}))
    optimizer = factory.build_optimizer(
        0.1,
        gradient_aggregator=lambda pairs: [(gradient + 1, weight) for gradient, weight in pairs],
        gradient_transformers=[lambda pairs: [(gradient * 0, weight) for gradient, weight in pairs]],
    )
    np.testing.assert_allclose(train(optimizer)[1], [1.0, 2.0])


def test_moving_averages_are_kerass() -> None:
    optimizer = build(optimizer={"type": "adam"}, ema={"average_decay": 0.9})
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)


def test_a_task_builds_its_optimizer() -> None:
    config = OptimizationConfig({"optimizer": {"type": "lamb"}, "learning_rate": CONSTANT})
    assert isinstance(MaskedLMTask.create_optimizer(config), LAMB)
    scaled = MaskedLMTask.create_optimizer(config, RuntimeConfig(mixed_precision_dtype="float16"))
    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)


def test_wrong_configurations_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no option optimizer\.sgd\.momentun.*Did you mean momentum"):
        OptimizationConfig({"optimizer": {"type": "sgd", "sgd": {"momentun": 0.9}}})
    with pytest.raises(ValueError, match="Optimizer type must be specified"):
        OptimizerFactory(OptimizationConfig({"learning_rate": CONSTANT}))
    with pytest.raises(ValueError, match="Unknown type nadam"):
        build(optimizer={"type": "nadam"})
