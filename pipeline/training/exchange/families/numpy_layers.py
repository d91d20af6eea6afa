"""The layers of Hugging Face's encoders in numpy, in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]
# Added to scores that must not count. It is finite because padding may have no key within its window: its result is not
# used, but must not be NaN.
BLOCKED = -1e30


def get(weights: Weights, name: str) -> np.ndarray:
    """Returns a weight in double precision: converted one by one, so that the whole model is never in memory twice."""
    return weights[name].astype(np.float64)


def linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Computes a dense layer, with a bias if there is one: `[..., in]` to `[..., out]`."""
    x = x @ get(weights, f"{name}.weight").T
    return x + get(weights, f"{name}.bias") if f"{name}.bias" in weights else x


def layer_norm(weights: Weights, name: str, x: np.ndarray, eps: float) -> np.ndarray:
    """Computes a layer norm of the last axis, with a bias if there is one (https://arxiv.org/abs/1607.06450)."""
    centred = x - x.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * get(weights, f"{name}.weight")
    return normal + get(weights, f"{name}.bias") if f"{name}.bias" in weights else normal


def blocked_by(attention_mask: np.ndarray) -> np.ndarray:
    """Returns what to add to scores to mask padding: 0 or `BLOCKED`, `[batch, 1, 1, keys]`.

    Args:
        attention_mask: integers `[batch, keys]`, 0 for padding.
    """
    return np.where(attention_mask, 0.0, BLOCKED)[:, None, None, :]


def split_heads(x: np.ndarray, heads: int) -> np.ndarray:
    """Reshapes `[batch, length, width]` to `[batch, heads, length, width / heads]`."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def attend(query: np.ndarray, key: np.ndarray, value: np.ndarray, blocked: np.ndarray) -> np.ndarray:
    """Scaled dot-product attention (Vaswani et al., https://arxiv.org/abs/1706.03762).

    Args:
        query, key, value: `[batch, heads, length, width]`.
        blocked: 0, or `BLOCKED` or less, to add to the scores `[batch, heads, queries, keys]`.

    Returns:
        The context with concatenated heads, `[batch, length, heads * width]`.
    """
    scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(query.shape[-1]) + blocked
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    context = (shares @ value).transpose(0, 2, 1, 3)
    return context.reshape(*context.shape[:2], -1)


def at(x: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns the vectors `[batch, n, width]` at positions `[batch, n]` of `[batch, length, width]`."""
    return np.take_along_axis(x, positions[..., None], axis=1)


def _gelu_new(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _gelu(x: np.ndarray) -> np.ndarray:
    import tensorflow as tf  # numpy has no error function.

    return 0.5 * x * (1.0 + tf.math.erf(x / math.sqrt(2.0)).numpy())


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu_new": _gelu_new,
    "gelu": _gelu,
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x / (1.0 + np.exp(-x)),
}
