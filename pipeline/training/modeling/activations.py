"""Activations by the names that configurations use."""

from __future__ import annotations

import functools
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


@keras.saving.register_keras_serializable(package="mlm_pipeline")
def mish(x: Any) -> Any:
    """`x * tanh(softplus(x))` (https://arxiv.org/abs/1908.08681)."""
    return keras.activations.mish(keras.ops.convert_to_tensor(x))


@keras.saving.register_keras_serializable(package="mlm_pipeline")
def relu6(features: Any) -> Any:
    """`min(max(x, 0), 6)`."""
    return keras.activations.relu6(keras.ops.convert_to_tensor(features))


@keras.saving.register_keras_serializable(package="mlm_pipeline")
def hard_sigmoid(features: Any) -> Any:
    """`relu6(x + 3) * 0.16667`."""
    return relu6(keras.ops.convert_to_tensor(features) + 3) * 0.16667


@keras.saving.register_keras_serializable(package="mlm_pipeline")
def simple_swish(features: Any) -> Any:
    """`x * sigmoid(x)`."""
    features = keras.ops.convert_to_tensor(features)
    return features * keras.ops.sigmoid(features)


@keras.saving.register_keras_serializable(package="mlm_pipeline")
def hard_swish(features: Any) -> Any:
    """`x * relu6(x + 3) / 6` (https://arxiv.org/abs/1905.02244)."""
    features = keras.ops.convert_to_tensor(features)
    return features * relu6(features + 3) / 6


@keras.saving.register_keras_serializable(package="mlm_pipeline")
def identity(features: Any) -> Any:
    """`x`."""
    return keras.ops.convert_to_tensor(features)


_NAMED: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (gelu, mish, relu6, hard_sigmoid, simple_swish, hard_swish, identity)
} | {"gelu_exact": keras.activations.gelu}


def get_activation(
    identifier: str | Callable[[Any], Any] | None, use_keras_layer: bool = False, **kwargs: Any
) -> Callable[[Any], Any]:
    """Returns the activation that a configuration names.

    Args:
        identifier: "gelu" for the approximation, "gelu_exact" for what it approximates (what Hugging Face calls
            "gelu"); else the name of a function of this module, or what `keras.activations.get` takes.
        use_keras_layer: whether to return a layer of it.
        **kwargs: arguments of the function, such as `negative_slope` of "leaky_relu".
    """
    function = _NAMED.get(identifier) if isinstance(identifier, str) else None
    function = function or keras.activations.get(identifier)
    if kwargs:
        function = functools.partial(function, **kwargs)
    return keras.layers.Activation(function) if use_keras_layer else function
