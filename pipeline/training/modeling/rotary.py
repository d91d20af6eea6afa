"""Rotary positions."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def rotary_angles(positions: Any, width: int, theta: float) -> tuple[Any, Any]:
    """Cosines and sines of the angles by which `rotate` turns queries and keys.

    "RoFormer: Enhanced Transformer with Rotary Position Embedding" (https://arxiv.org/abs/2104.09864): the pair i of a
    head's features turns by `position * theta ** (-2 * i / width)`.

    Args:
        positions: integers `[batch or 1, seq_length]`, from 0.
        width: of a head; even.
        theta: the base of the angles; larger ones turn more slowly, which suits long sequences.

    Returns:
        Two float32 `[batch or 1, seq_length, width / 2]`.
    """
    exponents = tf.range(0, width, 2, dtype=tf.float32) / width
    angles = tf.cast(positions, tf.float32)[..., None] / tf.pow(tf.constant(theta, tf.float32), exponents)
    return tf.cos(angles), tf.sin(angles)


def rotate(heads: Any, angles: tuple[Any, Any]) -> Any:
    """Turns each pair of features by its angle. Features i and i + width / 2 are a pair, as in GPT-NeoX and ModernBERT.

    Args:
        heads: `[batch, heads, seq_length, width]`, of any float type. It is computed in float32.
        angles: what `rotary_angles` returned for the same positions, or for more of them.
    """
    cosines, sines = (values[:, None, : tf.shape(heads)[2]] for values in angles)
    first, second = tf.split(tf.cast(heads, tf.float32), 2, axis=-1)
    turned = tf.concat([first * cosines - second * sines, second * cosines + first * sines], axis=-1)
    return tf.cast(turned, heads.dtype)
