"""The norms of the encoders, by the names that configurations use."""

from __future__ import annotations

from typing import Any

import keras

NORMS = ("layer_norm", "rms_norm")


def make_norm(kind: str, name: str, *, epsilon: float, use_bias: bool = True) -> Any:
    """Makes a norm over the last axis, in float32 under mixed precision too, as tensorflow/models has it.

    Args:
        kind: "layer_norm", or "rms_norm" (https://arxiv.org/abs/1910.07467), which divides by the root of the mean
            square and has no bias.
        name: of the layer. With "layer_norm" in it, whichever kind it is, optimisers exclude its weights from decay.
        epsilon: added to the variance or mean square.
        use_bias: whether a layer norm has a bias.

    Raises:
        ValueError: for another kind.
    """
    if kind == "layer_norm":
        return keras.layers.LayerNormalization(epsilon=epsilon, center=use_bias, dtype="float32", name=name)
    if kind == "rms_norm":
        return keras.layers.RMSNormalization(epsilon=epsilon, dtype="float32", name=name)
    raise ValueError(f"`norm` must be one of {', '.join(NORMS)}. Received: {kind!r}.")
