"""Activations by the names that configurations use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="mlm_pipeline")
def gelu(x: Any) -> Any:
    """Gaussian error linear unit (https://arxiv.org/abs/1606.08415), in its tanh approximation.

    That is what "gelu" means in the configurations of google-research/bert and tensorflow/models;
    `keras.activations.gelu` is the exact one.
    """
    return keras.activations.gelu(x, approximate=True)


def get_activation(name: str | Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """The activation that a configuration names.

    Args:
        name: "gelu" for the approximation, "gelu_exact" for what it approximates (what Hugging Face calls "gelu"); else
            what `keras.activations.get` takes.
    """
    if name == "gelu":
        return gelu
    if name == "gelu_exact":
        return keras.activations.gelu
    return keras.activations.get(name)
