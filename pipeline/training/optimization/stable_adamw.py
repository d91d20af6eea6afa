"""StableAdamW: AdamW whose updates are clipped weight by weight."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from pipeline.training.optimization.optimizers import AdamW, apply_adam


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class StableAdamW(AdamW):
    """AdamW with Adafactor's update clipping (Wortsman et al., 2023, https://arxiv.org/abs/2304.13013, algorithm 2).

    With the moments `m` and `v`, both corrected for their bias:

        rms = sqrt(mean(g ** 2 / max(v, epsilon ** 2)))
        rate = learning_rate / max(1, rms)
        w -= rate * decay * w
        w -= rate * m / (sqrt(v) + epsilon)

    A gradient far larger than those before makes `rms` large and its step small, for each weight by itself, so that
    gradients need no clipping. Other than in `AdamW`, epsilon is added after the correction, as in the paper.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one weight."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        gradient = tf.cast(gradient, dtype)
        momentum, velocity = self._momentums[index], self._velocities[index]
        powers = self.powers(self.beta_1, self.beta_2, index, dtype)
        square = tf.square(gradient)
        second = (velocity.value * self.beta_2 + square * (1 - self.beta_2)) / (1 - powers[1])
        # Where an epsilon of 0 and a gradient of 0 meet, the ratio is none.
        ratio = tf.math.divide_no_nan(square, tf.maximum(second, self.epsilon**2))
        rms = tf.sqrt(tf.reduce_mean(ratio))
        rate = tf.cast(learning_rate, dtype) / tf.maximum(rms, 1.0)
        self.decay_weight(variable, rate)
        apply_adam(
            variable,
            momentum,
            velocity,
            gradient,
            rate,
            betas=(self.beta_1, self.beta_2),
            powers=powers,
            # The kernel adds it to the root before the correction.
            epsilon=self.epsilon * tf.sqrt(1 - powers[1]),
        )
