"""Optimisers from tensorflow/models' configurations, as its `optimizer_factory`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras

from pipeline.training.optimization import lr_schedule
from pipeline.training.optimization.configs import OneOf, OptimizationConfig
from pipeline.training.optimization.optimizers import LAMB, AdamWeightDecay

# Keras 3 has one optimiser of each kind, where Keras 2 had two.
LEGACY_OPTIMIZERS_CLS: dict[str, Any] = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": AdamWeightDecay,
    "adamw_experimental": keras.optimizers.AdamW,
    "lamb": LAMB,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adafactor": keras.optimizers.Adafactor,
}
NEW_OPTIMIZERS_CLS: dict[str, Any] = dict(LEGACY_OPTIMIZERS_CLS)
LR_CLS: dict[str, Any] = {
    "stepwise": lr_schedule.PiecewiseConstantDecayWithOffset,
    "polynomial": lr_schedule.PolynomialDecayWithOffset,
    "exponential": lr_schedule.ExponentialDecayWithOffset,
    "cosine": lr_schedule.CosineDecayWithOffset,
    "power": lr_schedule.DirectPowerDecay,
    "power_linear": lr_schedule.PowerAndLinearDecay,
    "power_with_offset": lr_schedule.PowerDecayWithOffset,
    "step_cosine_with_offset": lr_schedule.StepCosineDecayWithOffset,
}
WARMUP_CLS: dict[str, Any] = {"linear": lr_schedule.LinearWarmup, "polynomial": lr_schedule.PolynomialWarmUp}

GradsAndVars = list[tuple[Any, Any]]


def register_optimizer_cls(key: str, optimizer_config_cls: Any, use_legacy_optimizer: bool = True) -> None:
    """Registers an optimiser's class for a `type` of `OptimizerConfig`.

    Args:
        key: the type; a subclass of `OptimizerConfig` has a group of that name.
        optimizer_config_cls: the class.
        use_legacy_optimizer: in which of the two tables.

    Raises:
        ValueError: if there is one already.
    """
    table = LEGACY_OPTIMIZERS_CLS if use_legacy_optimizer else NEW_OPTIMIZERS_CLS
    if key in table:
        raise ValueError(f"{key} already registered as {table[key].__name__}.")
    table[key] = optimizer_config_cls


class OptimizerFactory:
    """Builds a learning rate and an optimiser.

    Example:

        config = OptimizationConfig({
            "optimizer": {"type": "adamw", "adamw": {"weight_decay_rate": 0.01}},
            "learning_rate": {"type": "cosine", "cosine": {"initial_learning_rate": 1e-4, "decay_steps": 10000}},
            "warmup": {"type": "linear", "linear": {"warmup_steps": 1000}},
        })
        factory = OptimizerFactory(config)
        optimizer = factory.build_optimizer(factory.build_learning_rate())

    Args:
        config: what to build.

    Raises:
        ValueError: if there is no type of optimiser, or none of learning rate.
    """

    def __init__(self, config: OptimizationConfig) -> None:
        if config.optimizer.get() is None:
            raise ValueError("Optimizer type must be specified")
        if config.learning_rate.get() is None:
            raise ValueError("Learning rate type must be specified")
        self._config = config

    def build_learning_rate(self) -> Any:
        """Builds the schedule; a constant rate without warm-up is a number."""
        config = self._config
        if config.learning_rate.type == "constant":
            rate = config.learning_rate.constant.learning_rate
        else:
            rate = LR_CLS[str(config.learning_rate.type)](**_arguments(config.learning_rate))
        if config.warmup.type is None:
            return rate
        return WARMUP_CLS[config.warmup.type](rate, **_arguments(config.warmup))

    def build_optimizer(
        self,
        lr: Any,
        gradient_aggregator: Callable[[GradsAndVars], GradsAndVars] | None = None,
        gradient_transformers: Sequence[Callable[[GradsAndVars], GradsAndVars]] | None = None,
        postprocessor: Callable[[Any], Any] | None = None,
        use_legacy_optimizer: bool = True,
    ) -> Any:
        """Builds the optimiser.

        Args:
            lr: what `build_learning_rate` returned, or another rate or schedule.
            gradient_aggregator: is called with the gradients and weights that are given to `apply_gradients`, and
                returns those to apply.
            gradient_transformers: are called after it, one after another.
            postprocessor: is called with the optimiser, and returns the one to use.
            use_legacy_optimizer: which table to take the class from.

        Raises:
            TypeError: if `postprocessor` returns no optimiser.
        """
        config = self._config
        arguments = _arguments(config.optimizer)
        for name in ("name", "clipnorm", "clipvalue", "global_clipnorm"):
            if arguments.get(name) is None:
                arguments.pop(name, None)
        if decay := arguments.pop("decay", 0.0):
            lr = keras.optimizers.schedules.InverseTimeDecay(lr, decay_steps=1, decay_rate=decay)
        if config.ema is not None:
            arguments |= {"use_ema": True, "ema_momentum": config.ema.average_decay}
        table = LEGACY_OPTIMIZERS_CLS if use_legacy_optimizer else NEW_OPTIMIZERS_CLS
        optimizer = table[str(config.optimizer.type)](learning_rate=lr, **arguments)
        transformers = [*([gradient_aggregator] if gradient_aggregator else []), *(gradient_transformers or ())]
        if transformers:
            _transform_gradients(optimizer, transformers)
        if postprocessor:
            optimizer = postprocessor(optimizer)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise TypeError(f"The postprocessor must return an optimizer. Received: {type(optimizer).__name__}.")
        return optimizer


def _arguments(group: OneOf) -> dict[str, Any]:
    """The options of the chosen group; those that were deleted from it are left out."""
    chosen = group.get()
    return {
        field.name: getattr(chosen, field.name) for field in dataclasses.fields(chosen) if field.name in vars(chosen)
    }


def _transform_gradients(optimizer: Any, transformers: Sequence[Callable[[GradsAndVars], GradsAndVars]]) -> None:
    apply_gradients = optimizer.apply_gradients

    def transform_and_apply(grads_and_vars: Any, **kwargs: Any) -> Any:
        pairs = list(grads_and_vars)
        for transform in transformers:
            pairs = transform(pairs)
        return apply_gradients(pairs, **kwargs)

    optimizer.apply_gradients = transform_and_apply
