"""Whether numbers are numbers: neither NaN nor infinite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import InputError


def all_finite(variables: Sequence[Any]) -> Any:
    """Whether all numbers of all variables are finite, a boolean scalar; to be used in graphs, too."""
    import tensorflow as tf

    checks = [tf.reduce_all(tf.math.is_finite(variable.value)) for variable in _floating(variables)]
    return tf.reduce_all(tf.stack([tf.constant(True), *checks]))


def not_finite(variables: Sequence[Any]) -> list[str]:
    """Paths of the variables that hold NaN or infinite numbers."""
    return [variable.path for variable in _floating(variables) if not np.isfinite(variable.numpy()).all()]


def largest_size(variables: Sequence[Any]) -> float:
    """The largest absolute value in variables; NaN if there is one."""
    return max((float(np.abs(variable.numpy()).max()) for variable in _floating(variables)), default=0.0)


def check_weights(weights: Mapping[str, np.ndarray], source: str) -> None:
    """Makes sure that float32 can hold the weights of a model.

    Args:
        weights: arrays by name; those of integers are passed over.
        source: where they are from, for the message.

    Raises:
        InputError: if it cannot: they hold NaN or infinite numbers, or become so.
    """
    with np.errstate(over="ignore"):
        names = [
            name
            for name, value in weights.items()
            if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value.astype(np.float32, copy=False)).all()
        ]
    if names:
        raise InputError(
            f"The weights of {source} must be finite numbers",
            received=f"NaN or infinite ones in {short_list(names)}",
            do="Its training failed, or the file is damaged: use another model, or an earlier checkpoint of it",
        )


def check_model(model: Any, source: str) -> None:
    """As `check_weights`, of a Keras model."""
    check_weights({variable.path: variable.numpy() for variable in model.weights}, source)


def short_list(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more:,} more" if more > 0 else "")


def _floating(variables: Sequence[Any]) -> list[Any]:
    return [variable for variable in variables if "float" in str(variable.dtype)]
