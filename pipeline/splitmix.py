"""Pseudo-random numbers by hashing, for compiled loops: nothing is kept between two draws."""

from __future__ import annotations

import numpy as np

from pipeline.compiling import inlined

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FACTOR_1, FACTOR_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@inlined
def mixed(value: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64 (Steele et al., 2014, "Fast splittable pseudorandom number generators")."""
    value = (value ^ (value >> np.uint64(30))) * FACTOR_1
    value = (value ^ (value >> np.uint64(27))) * FACTOR_2
    return value ^ (value >> np.uint64(31))
