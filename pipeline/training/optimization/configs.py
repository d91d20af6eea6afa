"""Optimisers and schedules as tensorflow/models' configurations describe them, for `OptimizerFactory`.

`pretrain` is configured by `pipeline.training.configs.OptimizerConfig` instead.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pipeline.config.base import Config


class OneOf(Config):
    """A config of several groups of options, of which `type` chooses one.

    Raises:
        ValueError: by `get`, for a type without a group.
    """

    type: str | None

    def get(self) -> Any:
        """The chosen group; None if there is no `type`."""
        if self.type is None:
            return None
        if not isinstance(getattr(self, self.type, None), Config):
            known = [name for name, value in vars(self).items() if isinstance(value, Config)]
            raise ValueError(f"Unknown type {self.type}. The types are: {', '.join(known)}.")
        return getattr(self, self.type)


def _group(kind: type) -> Any:
    return dataclasses.field(default_factory=kind)


# === Optimisers: their arguments, with their defaults ===


@dataclass
class BaseOptimizerConfig(Config):
    """Clipping of gradients, of each weight's or of all."""

    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None


@dataclass
class SGDConfig(BaseOptimizerConfig):
    """`keras.optimizers.SGD`; with `decay`, the rate is divided by `1 + decay * step`."""

    name: str | None = None
    decay: float = 0.0
    nesterov: bool = False
    momentum: float = 0.0


@dataclass
class RMSPropConfig(BaseOptimizerConfig):
    """`keras.optimizers.RMSprop`."""

    name: str | None = None
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False


@dataclass
class AdagradConfig(BaseOptimizerConfig):
    """`keras.optimizers.Adagrad`."""

    name: str | None = None
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7


@dataclass
class AdamConfig(BaseOptimizerConfig):
    """`keras.optimizers.Adam`."""

    name: str | None = None
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False


@dataclass
class AdamWeightDecayConfig(BaseOptimizerConfig):
    """`AdamWeightDecay`."""

    name: str = "AdamWeightDecay"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    weight_decay_rate: float = 0.0
    include_in_weight_decay: list[str] | None = None
    exclude_from_weight_decay: list[str] | None = None
    gradient_clip_norm: float = 1.0


@dataclass
class AdamWeightDecayExperimentalConfig(BaseOptimizerConfig):
    """`keras.optimizers.AdamW`."""

    name: str | None = None
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    weight_decay: float = 0.0
    global_clipnorm: float | None = 1.0


@dataclass
class LAMBConfig(BaseOptimizerConfig):
    """`LAMB`."""

    name: str = "LAMB"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6
    weight_decay_rate: float = 0.0
    exclude_from_weight_decay: list[str] | None = None
    exclude_from_layer_adaptation: list[str] | None = None


@dataclass
class AdafactorConfig(BaseOptimizerConfig):
    """`keras.optimizers.Adafactor`."""

    name: str | None = None
    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True


@dataclass
class EMAConfig(Config):
    """Moving averages of the weights, by Keras's `use_ema`: every optimiser keeps them from the first step."""

    average_decay: float = 0.99


@dataclass
class OptimizerConfig(OneOf):
    """An optimiser: `type`, and its arguments in the group of that name."""

    type: str | None = None
    sgd: SGDConfig = _group(SGDConfig)
    adam: AdamConfig = _group(AdamConfig)
    adamw: AdamWeightDecayConfig = _group(AdamWeightDecayConfig)
    adamw_experimental: AdamWeightDecayExperimentalConfig = _group(AdamWeightDecayExperimentalConfig)
    lamb: LAMBConfig = _group(LAMBConfig)
    rmsprop: RMSPropConfig = _group(RMSPropConfig)
    adagrad: AdagradConfig = _group(AdagradConfig)
    adafactor: AdafactorConfig = _group(AdafactorConfig)


# === Learning rates: the arguments of `pipeline.training.optimization.lr_schedule`, with their defaults ===


@dataclass
class ConstantLrConfig(Config):
    """A constant rate."""

    learning_rate: float = 0.1


@dataclass
class StepwiseLrConfig(Config):
    """`PiecewiseConstantDecayWithOffset`."""

    name: str = "PiecewiseConstantDecay"
    boundaries: list[int] | None = None
    values: list[float] | None = None
    offset: int = 0


@dataclass
class ExponentialLrConfig(Config):
    """`ExponentialDecayWithOffset`."""

    name: str = "ExponentialDecay"
    initial_learning_rate: float | None = None
    decay_steps: int | None = None
    decay_rate: float | None = None
    staircase: bool | None = None
    offset: int = 0


@dataclass
class PolynomialLrConfig(Config):
    """`PolynomialDecayWithOffset`."""

    name: str = "PolynomialDecay"
    initial_learning_rate: float | None = None
    decay_steps: int | None = None
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    offset: int = 0


@dataclass
class CosineLrConfig(Config):
    """`CosineDecayWithOffset`."""

    name: str = "CosineDecay"
    initial_learning_rate: float | None = None
    decay_steps: int | None = None
    alpha: float = 0.0
    offset: int = 0


@dataclass
class DirectPowerLrConfig(Config):
    """`DirectPowerDecay`."""

    name: str = "DirectPowerDecay"
    initial_learning_rate: float | None = None
    power: float = -0.5


@dataclass
class PowerAndLinearDecayLrConfig(Config):
    """`PowerAndLinearDecay`."""

    name: str = "PowerAndLinearDecay"
    initial_learning_rate: float | None = None
    total_decay_steps: int | None = None
    power: float = -0.5
    linear_decay_fraction: float = 0.1
    offset: int = 0


@dataclass
class PowerDecayWithOffsetLrConfig(Config):
    """`PowerDecayWithOffset`."""

    name: str = "PowerDecayWithOffset"
    initial_learning_rate: float | None = None
    power: float = -0.5
    offset: int = 0
    pre_offset_learning_rate: float = 1.0e6


@dataclass
class StepCosineLrConfig(Config):
    """`StepCosineDecayWithOffset`."""

    name: str = "StepCosineDecayWithOffset"
    boundaries: list[int] | None = None
    values: list[float] | None = None
    offset: int = 0


@dataclass
class LrConfig(OneOf):
    """A learning rate: `type`, and its arguments in the group of that name."""

    type: str | None = None
    constant: ConstantLrConfig = _group(ConstantLrConfig)
    stepwise: StepwiseLrConfig = _group(StepwiseLrConfig)
    exponential: ExponentialLrConfig = _group(ExponentialLrConfig)
    polynomial: PolynomialLrConfig = _group(PolynomialLrConfig)
    cosine: CosineLrConfig = _group(CosineLrConfig)
    power: DirectPowerLrConfig = _group(DirectPowerLrConfig)
    power_linear: PowerAndLinearDecayLrConfig = _group(PowerAndLinearDecayLrConfig)
    power_with_offset: PowerDecayWithOffsetLrConfig = _group(PowerDecayWithOffsetLrConfig)
    step_cosine_with_offset: StepCosineLrConfig = _group(StepCosineLrConfig)


@dataclass
class LinearWarmupConfig(Config):
    """`LinearWarmup`."""

    name: str = "linear"
    warmup_learning_rate: float = 0.0
    warmup_steps: int | None = None


@dataclass
class PolynomialWarmupConfig(Config):
    """`PolynomialWarmUp`."""

    name: str = "polynomial"
    power: float = 1.0
    warmup_steps: int | None = None


@dataclass
class WarmupConfig(OneOf):
    """A warm-up: `type`, and its arguments in the group of that name."""

    type: str | None = None
    linear: LinearWarmupConfig = _group(LinearWarmupConfig)
    polynomial: PolynomialWarmupConfig = _group(PolynomialWarmupConfig)


@dataclass
class OptimizationConfig(Config):
    """An optimiser and its learning rate; see `OptimizerFactory`.

    Raises:
        ConfigError: for an unknown name or a value of the wrong type, where it is made from a mapping.
    """

    optimizer: OptimizerConfig = _group(OptimizerConfig)
    ema: EMAConfig | None = None
    learning_rate: LrConfig = _group(LrConfig)
    warmup: WarmupConfig = _group(WarmupConfig)
