"""AdamW and LAMB, with the numbers of tensorflow/models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class SelectiveDecay(keras.optimizers.Optimizer):
    """What all optimisers here share: decoupled weight decay with weights that are left out, and dense gradients.

    Attributes:
        weight_decay_rate: the decay; a subclass sets it.
        excluded_from_weight_decay: regular expressions; weights with a match in their path do not decay.
    """

    weight_decay_rate: float
    excluded_from_weight_decay: list[str]
    _first_steps: dict[int, int]
    _late_warmup: int

    def build(self, variables: Sequence[Any]) -> None:
        """Makes what the optimiser holds of `variables`."""
        if self.built:
            return
        super().build(variables)
        self._paths = [path_of(variable) for variable in variables]
        self._decays = [self.decays(path) for path in self._paths]
        self._first_steps = {}
        self._late_warmup = 0

    def start_late(self, variables: Sequence[Any], steps: int, *, warmup_steps: int = 0) -> None:
        """Tells that some weights are not updated in the first steps, which their moments then know nothing of.

        Args:
            variables: these weights.
            steps: how many steps.
            warmup_steps: over how many steps from there on `rate_of` rises for them.
        """
        self._first_steps = dict.fromkeys(map(self._get_variable_index, variables), steps)
        self._late_warmup = warmup_steps

    def rate_of(self, variable: Any, rate: Any) -> Any:
        """The learning rate of a weight: for one that starts late, with a linear warm-up of its own."""
        first = self._first_steps.get(self._get_variable_index(variable))
        if first is None or not self._late_warmup:
            return rate
        return rate * tf.clip_by_value(tf.cast(self.iterations - first + 1, rate.dtype) / self._late_warmup, 0.0, 1.0)

    def decays(self, path: str) -> bool:
        """Whether the weight of a path decays."""
        return not is_excluded(path, self.excluded_from_weight_decay)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Updates weights; gradients in slices, as of lookups in embeddings, count as the sums that they stand for."""
        # Made dense before Keras clips them: the norm of slices of one row is not the row's.
        dense = [g if g is None else tf.convert_to_tensor(g) for g in grads]
        super().apply(dense, trainable_variables)

    def decay_weight(self, variable: Any, rate: Any) -> None:
        """Lets a weight decay, `w -= rate * decay * w`, if it does."""
        if self.weight_decay_rate and self._decays[self._get_variable_index(variable)]:
            variable.assign_sub(variable * (rate * self.weight_decay_rate))

    def powers(self, beta_1: float, beta_2: float, index: int, dtype: Any) -> tuple[Any, Any]:
        """`beta_1 ** t` and `beta_2 ** t` at this step of the weight of an index, its first being 1."""
        step = tf.cast(self.iterations - self._first_steps.get(index, 0), dtype) + 1
        return tf.constant(beta_1, dtype) ** step, tf.constant(beta_2, dtype) ** step


class _MomentOptimizer(SelectiveDecay):
    """What AdamW and LAMB share: two moments for each weight.

    Args:
        learning_rate: a number or a schedule.
        weight_decay_rate: decoupled weight decay (https://arxiv.org/abs/1711.05101).
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the second moment's root.
        exclude_from_weight_decay: regular expressions; weights with a match in their path do not decay.
        decay: divides the rate by `1 + decay * step`.
        **kwargs: of `keras.optimizers.Optimizer`, such as `global_clipnorm`.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay_rate: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        exclude_from_weight_decay: Sequence[str] | None = None,
        decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if decay:
            learning_rate = keras.optimizers.schedules.InverseTimeDecay(learning_rate, 1, decay)
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.weight_decay_rate = weight_decay_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.excluded_from_weight_decay = list(exclude_from_weight_decay or ())

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the moments of `variables`."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("weight_decay", None)  # Keras's own decay would come on top of ours.
        return {
            **config,
            "weight_decay_rate": self.weight_decay_rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "exclude_from_weight_decay": self.excluded_from_weight_decay,
        }


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class AdamW(_MomentOptimizer):
    """Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101), as `AdamWeightDecay` there.

    The weight decays first, `w -= rate * decay * w`; then Adam, with the epsilon that its paper
    calls "epsilon hat". One kernel of TensorFlow's does the latter, in one pass over each weight.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one weight."""
        index = self._get_variable_index(variable)
        rate = tf.cast(learning_rate, variable.dtype)
        self.decay_weight(variable, rate)
        apply_adam(
            variable,
            self._momentums[index],
            self._velocities[index],
            gradient,
            rate,
            betas=(self.beta_1, self.beta_2),
            powers=self.powers(self.beta_1, self.beta_2, index, variable.dtype),
            epsilon=self.epsilon,
        )


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class AdamWeightDecay(AdamW):
    """`AdamW` with the arguments and defaults of tensorflow/models' `AdamWeightDecay`.

    Args:
        learning_rate: a number or a schedule.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the second moment's root.
        weight_decay_rate: decoupled weight decay.
        include_in_weight_decay: regular expressions; weights with a match in their path decay whatever excludes them.
        exclude_from_weight_decay: regular expressions; weights with a match in their path do not decay.
        gradient_clip_norm: largest norm of all gradients together; 0 for any. With `global_clipnorm` as well, the
            smaller counts.
        name: name of the optimiser.
        **kwargs: of `keras.optimizers.Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay_rate: float = 0.0,
        include_in_weight_decay: Sequence[str] | None = None,
        exclude_from_weight_decay: Sequence[str] | None = None,
        gradient_clip_norm: float = 1.0,
        name: str = "AdamWeightDecay",
        **kwargs: Any,
    ) -> None:
        norms = [norm for norm in (gradient_clip_norm, kwargs.pop("global_clipnorm", None)) if norm]
        super().__init__(
            learning_rate=learning_rate,
            weight_decay_rate=weight_decay_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            exclude_from_weight_decay=exclude_from_weight_decay,
            name=name,
            global_clipnorm=min(norms, default=None),
            **kwargs,
        )
        self.included_in_weight_decay = list(include_in_weight_decay or ())
        self.gradient_clip_norm = gradient_clip_norm

    def decays(self, path: str) -> bool:
        """Whether the weight of a path decays."""
        return is_excluded(path, self.included_in_weight_decay) or super().decays(path)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "include_in_weight_decay": self.included_in_weight_decay,
            "gradient_clip_norm": self.gradient_clip_norm,
        }


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class LAMB(_MomentOptimizer):
    """Layer-wise adaptive moments for large batches (https://arxiv.org/abs/1904.00962).

    Adam's update with the decay in it is scaled to the weight's own norm, but for weights that are left out.

    Args:
        *args: of `AdamW`.
        exclude_from_layer_adaptation: regular expressions; the updates of weights with a match in their path are taken
            as they are; by default those of weights that do not decay.
        **kwargs: of `AdamW`.
    """

    def __init__(
        self, *args: Any, exclude_from_layer_adaptation: Sequence[str] | None = None, name: str = "LAMB", **kwargs: Any
    ) -> None:
        super().__init__(*args, name=name, **kwargs)
        self.excluded_from_layer_adaptation = exclude_from_layer_adaptation and list(exclude_from_layer_adaptation)

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the moments of `variables`."""
        super().build(variables)
        self._adapts = [self.adapts(path) for path in self._paths]

    def adapts(self, path: str) -> bool:
        """Whether the update of the weight of a path is scaled to the weight's norm."""
        if self.excluded_from_layer_adaptation is None:
            return self.decays(path)
        return not is_excluded(path, self.excluded_from_layer_adaptation)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one weight."""
        index = self._get_variable_index(variable)
        rate, gradient = tf.cast(learning_rate, variable.dtype), tf.cast(gradient, variable.dtype)
        beta_1_power, beta_2_power = self.powers(self.beta_1, self.beta_2, index, variable.dtype)
        momentum, velocity = self._momentums[index], self._velocities[index]
        first = momentum.value * self.beta_1 + gradient * (1 - self.beta_1)
        second = velocity.value * self.beta_2 + tf.square(gradient) * (1 - self.beta_2)
        self.assign(momentum, first)
        self.assign(velocity, second)
        update = first / (1 - beta_1_power) / (tf.sqrt(second / (1 - beta_2_power)) + self.epsilon)
        if self._decays[index]:
            update += self.weight_decay_rate * variable
        if self._adapts[index]:
            weight_norm, update_norm = tf.norm(variable), tf.norm(update)
            ratio = tf.where((weight_norm > 0) & (update_norm > 0), weight_norm / update_norm, 1.0)
            update *= ratio
        variable.assign_sub(rate * update)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "exclude_from_layer_adaptation": self.excluded_from_layer_adaptation}


def apply_adam(
    variable: Any,
    momentum: Any,
    velocity: Any,
    gradient: Any,
    rate: Any,
    *,
    betas: tuple[float, float],
    powers: tuple[Any, Any],
    epsilon: Any,
) -> None:
    """Adam's update of a weight and its moments, by TensorFlow's kernel: one pass over them.

    Args:
        variable: the weight.
        momentum: its first moment.
        velocity: its second moment.
        gradient: its gradient, dense.
        rate: the learning rate, of the weight's dtype.
        betas: decays of the moments.
        powers: these to the power of the step, the first being 1.
        epsilon: added to the root of the second moment before its bias is corrected ("epsilon hat" in Adam's paper).
    """
    dtype = variable.dtype
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.handle,
        v=velocity.handle,
        beta1_power=powers[0],
        beta2_power=powers[1],
        lr=rate,
        beta1=tf.constant(betas[0], dtype),
        beta2=tf.constant(betas[1], dtype),
        epsilon=tf.cast(epsilon, dtype),
        grad=tf.cast(gradient, dtype),
    )


def path_of(variable: Any) -> str:
    """What tells a weight from others: a name such as "gamma" or "bias" does not identify the layer."""
    return str(getattr(variable, "path", variable.name))  # A `tf.Variable` has a name alone.


def is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """Whether a weight, by its path, matches one of the patterns."""
    return any(re.search(pattern, path) for pattern in patterns)
