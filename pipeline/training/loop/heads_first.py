"""Training the heads that a model lacked by themselves, before everything."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from typing import Any

import tensorflow as tf


class HeadsFirst:
    """Which weights a run trains alone in its first steps, the others being frozen.

    A head that starts at random sends the encoder gradients that distort it, and is therefore trained first (Kumar et
    al., 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
    https://arxiv.org/abs/2202.10054).

    Args:
        steps: how many steps; 0 for none.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        with tf.device("CPU:0"):  # Other devices hold no text.
            self._paths = tf.Variable("[]", dtype=tf.string, trainable=False)

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """What a checkpoint holds of it."""
        return {"paths": self._paths}

    def choose(self, paths: Collection[str]) -> None:
        """Sets which weights are trained alone, by their paths; none where everything is trained from the start."""
        self._paths.assign(json.dumps(sorted(paths)))

    def frozen(self, weights: Sequence[Any]) -> list[Any]:
        """The weights among `weights` that are frozen in these steps."""
        heads = {weight.path for weight in self._heads(weights)}
        return [weight for weight in weights if weight.path not in heads] if heads else []

    def describe(self, model: Any) -> str:
        """What of a `BertPretrainerV2` is trained in these steps, in words."""
        parts = {"masked-LM": model.masked_lm, **{head.name: head for head in model.classification_heads}}
        lacked = {name: self._heads(head.trainable_variables) for name, head in parts.items()}
        names = [name for name, weights in lacked.items() if weights]
        if not names:
            return "trainer.heads_only_steps has nothing to do: the model has all its heads"
        size = sum(math.prod(weight.shape) for weights in lacked.values() for weight in weights)
        return (
            f"steps 1 to {self.steps:,} train only what was lacking of the {' and the '.join(names)} head, {size:,}"
            " parameters; all else is frozen in them (trainer.heads_only_steps)"
        )

    def _heads(self, weights: Sequence[Any]) -> list[Any]:
        paths = json.loads(self._paths.numpy()) if self.steps else []
        return [weight for weight in weights if weight.path in paths]
