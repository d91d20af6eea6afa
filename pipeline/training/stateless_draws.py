"""Random numbers that follow from what they are drawn for: nothing is kept between two draws."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Draws:
    """Random numbers of the examples of a batch, by purpose and counter.

    A number is the SplitMix64 finaliser (Steele et al., 2014, "Fast splittable pseudorandom number generators") of its
    example's key, purpose and counter: a hash, so that nothing is kept between two draws.
    """

    def __init__(self, seed: int, serialized: Any, epoch: Any) -> None:
        fingerprint = tf.bitcast(tf.fingerprint(serialized), tf.uint64)  # [batch], of uint8 [batch, 8]
        keys = _mix(tf.bitwise.bitwise_xor(fingerprint, _mix(tf.constant(seed % 2**64, tf.uint64))))
        self._keys = _mix(keys ^ tf.cast(epoch, tf.uint64))

    def bits(self, purpose: int, counter: Any) -> Any:
        """uint64 `[batch, n]` for an int64 counter of shape `[n]` or `[batch, n]`."""
        stream = _mix(self._keys ^ tf.constant(purpose + 1, tf.uint64))[:, tf.newaxis]
        return _mix(stream + tf.cast(counter, tf.uint64) * tf.constant(0x9E3779B97F4A7C15, tf.uint64))

    def distinct(self, purpose: int, counter: Any) -> Any:
        """int64 of the shape of `bits`, not negative, of which no two are alike for counters in [0, 2**16)."""
        # Less a bit, they fit what sorting knows; the counter in the low bits tells them apart.
        return tf.cast(_shift(self.bits(purpose, counter), 17), tf.int64) * (1 << 16) + counter

    def uniform(self, purpose: int, counter: Any) -> Any:
        """float64 in [0, 1), of the shape of `bits`."""
        return tf.cast(_shift(self.bits(purpose, counter), 11), tf.float64) * 2.0**-53


def _mix(values: Any) -> Any:
    values = (values ^ _shift(values, 30)) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    values = (values ^ _shift(values, 27)) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return values ^ _shift(values, 31)


def _shift(values: Any, bits: int) -> Any:
    return tf.bitwise.right_shift(values, tf.constant(bits, tf.uint64))
