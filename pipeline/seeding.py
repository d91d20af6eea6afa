"""The one place where random generators are made.

A generator is keyed by (seed, purpose, place): different workers, retries and runners draw the same numbers at the
same place, and no two places share a stream.
"""

from __future__ import annotations

import hashlib

import numpy as np

LARGEST_SEED = 2**63 - 1  # Fits every integer type that stores a seed.


def generator(seed: int, purpose: str, *place: int) -> np.random.Generator:
    """Makes the generator for one purpose at one place.

    Args:
        seed: the user's seed, any integer.
        purpose: what is being drawn, such as "pairs" or "mask".
        *place: where, such as the block's index in the plan and the copy.

    Returns:
        A Philox generator (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3") whose 128-bit key is
        the BLAKE2b digest of the arguments.
    """
    text = "\x1f".join([str(int(seed)), purpose, *(str(int(index)) for index in place)])
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
