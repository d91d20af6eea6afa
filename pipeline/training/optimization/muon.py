"""Muon for the matrices of hidden layers, AdamW for all other weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.optimization.optimizers import SelectiveDecay, apply_adam, is_excluded, path_of


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class Muon(SelectiveDecay, keras.optimizers.Muon):
    """Keras's Muon with the decay, the exclusions and the AdamW of this package.

    A matrix moves by its momentum made orthogonal (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon):
    with `x = g + momentum * m`, five Newton-Schulz iterations bring all singular values of `x` near 1, in float32. The
    step is then scaled by `0.2 * sqrt(max(rows, columns))`, which gives it the root mean square of AdamW's steps, so
    that learning rate and weight decay of AdamW carry over (Moonlight: Liu et al., 2025,
    https://arxiv.org/abs/2502.16982). Embeddings, output tables, biases and norms are updated by AdamW.

    What differs from `keras.optimizers.Muon`:

    - Weights are left out of the decay by regular expressions on their paths, and both parts decay at one rate. Keras
      has two rates, and leaves weights out by names.
    - Gradients in slices, as of lookups in embeddings, are taken.
    - Adam's part is one kernel instead of ten operations, each of which goes over the whole table of embeddings.

    Args:
        learning_rate: a number or a schedule, for both parts.
        weight_decay_rate: decoupled weight decay, of both parts.
        beta_1: decay of the first moment in AdamW's part.
        beta_2: decay of the second moment in AdamW's part.
        epsilon: added to the second moment's root in AdamW's part.
        exclude_from_weight_decay: regular expressions; weights with a match in their path do not decay.
        momentum: of Muon's part.
        exclude_from_muon: regular expressions; matrices with a match in their path are AdamW's, as is all that is no
            matrix.
        name: name of the optimiser.
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
        momentum: float = 0.95,
        exclude_from_muon: Sequence[str] = ("embedding", "logits"),
        name: str = "Muon",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            adam_beta_1=beta_1,
            adam_beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=None,  # Keras's own decay would come on top of ours.
            adam_weight_decay=None,
            momentum=momentum,
            exclude_layers=list(exclude_from_muon),
            exclude_embeddings=False,  # The expressions say it.
            name=name,
            **kwargs,
        )
        self.weight_decay_rate = weight_decay_rate
        self.excluded_from_weight_decay = list(exclude_from_weight_decay or ())

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 2 or is_excluded(path_of(variable), self.exclude_layers)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one weight."""
        rate = tf.cast(learning_rate, variable.dtype)
        self.decay_weight(variable, rate)
        super().update_step(tf.cast(gradient, variable.dtype), variable, rate)

    def _adamw_update_step(self, gradient: Any, variable: Any, learning_rate: Any, m: Any, v: Any) -> None:
        betas = self.adam_beta_1, self.adam_beta_2
        powers = self.powers(*betas, self._get_variable_index(variable), variable.dtype)
        apply_adam(variable, m, v, gradient, learning_rate, betas=betas, powers=powers, epsilon=self.epsilon)

    def get_config(self) -> dict[str, Any]:
        config = keras.optimizers.Optimizer.get_config(self)
        config.pop("weight_decay", None)
        return {
            **config,
            "weight_decay_rate": self.weight_decay_rate,
            "beta_1": self.adam_beta_1,
            "beta_2": self.adam_beta_2,
            "epsilon": self.epsilon,
            "exclude_from_weight_decay": self.excluded_from_weight_decay,
            "momentum": self.momentum,
            "exclude_from_muon": self.exclude_layers,
        }
