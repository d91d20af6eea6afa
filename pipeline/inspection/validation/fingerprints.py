"""Hashes of examples, and of passages within them, that tell whether they have been seen before.

Hashes are of 64 bits, linear in random numbers drawn for each token of the vocabulary: two different examples have the
same with a probability of about 2**-64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.inspection.examples import Examples
from pipeline.seeding import generator

_BASE = 0x9E3779B97F4A7C15  # Odd: powers of it have inverses modulo 2**64.


class Windows(NamedTuple):
    """Windows of consecutive tokens within segments, those sampled by their hash.

    Attributes:
        hashes: uint64 `[windows]`, functions of the windows' tokens alone.
        rows: int64 `[windows]`, their examples.
        places: int64 `[windows]`, where they begin.
    """

    hashes: np.ndarray
    rows: np.ndarray
    places: np.ndarray


class Fingerprinter:
    """Makes hashes of the examples of one vocabulary.

    Args:
        vocab_size: its entries.
        max_seq_length: S, of the longest examples.
    """

    def __init__(self, vocab_size: int, max_seq_length: int) -> None:
        draw = generator(0, "fingerprints").integers
        largest = np.iinfo(np.uint64).max
        self._of_token = draw(0, largest, vocab_size, np.uint64, endpoint=True)
        self._of_place = draw(0, largest, (2, max_seq_length), np.uint64, endpoint=True) | np.uint64(1)
        base, inverse = np.uint64(_BASE), np.uint64(pow(_BASE, -1, 1 << 64))
        self._powers = np.cumprod(np.full(max_seq_length, base), dtype=np.uint64)
        self._inverses = np.cumprod(np.full(max_seq_length, inverse), dtype=np.uint64)
        # Logarithms of factorials, to base 2.
        self._log_factorial = np.concatenate([[0.0], np.cumsum(np.log2(np.arange(1, max_seq_length + 1)))])

    def texts(self, examples: Examples) -> np.ndarray:
        """Hashes of the examples' tokens before masking: uint64 `[batch]`."""
        weights = self._of_place[0, : examples.ids.shape[1]]
        return _mix((self._of_token[examples.ids] * weights).sum(axis=1, dtype=np.uint64))

    def masked(self, examples: Examples) -> np.ndarray:
        """Hashes of the examples with their masks: uint64 `[batch]`."""
        of_stored, of_mask = self._of_place[:, : examples.ids.shape[1]]
        hashes = (self._of_token[examples.stored_ids] * of_stored).sum(axis=1, dtype=np.uint64)
        hashes += (self._of_token[examples.ids] * of_mask * examples.predicted).sum(axis=1, dtype=np.uint64)
        return _mix(hashes)

    def mask_bits(self, examples: Examples, mask_id: int) -> np.ndarray:
        """Of how many masks each example's is one: float32 `[batch]`, logarithms to base 2.

        Counts the ways to choose the tokens and the random replacements.
        """
        free, chosen = examples.ordinary.sum(axis=1), examples.predicted.sum(axis=1)
        ways = self._log_factorial[free] - self._log_factorial[chosen] - self._log_factorial[free - chosen]
        at_random = (examples.stored_ids != examples.ids) & (examples.stored_ids != mask_id)
        bits: np.ndarray = ways + at_random.sum(axis=1) * np.log2(len(self._of_token))
        return bits.astype(np.float32)

    def windows(self, examples: Examples, width: int, one_in: int) -> Windows:
        """Windows of `width` tokens within segments, of which about `1 / one_in` are kept, chosen by their hash."""
        length = examples.ids.shape[1]
        if width > length:
            return Windows(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
        # Sums of tokens' numbers times the powers of a base: the difference of two, divided by the power at which it
        # begins, depends on what stands between alone.
        sums = np.zeros((len(examples), length + 1), np.uint64)
        np.cumsum(self._of_token[examples.ids] * self._powers[:length], axis=1, dtype=np.uint64, out=sums[:, 1:])
        hashes = _mix((sums[:, width:] - sums[:, :-width]) * self._inverses[: length - width + 1])
        breaks = np.zeros((len(examples), length + 1), np.int32)
        np.cumsum(~examples.ordinary, axis=1, out=breaks[:, 1:])
        kept = (breaks[:, width:] == breaks[:, :-width]) & (hashes % np.uint64(one_in) == 0)
        rows, places = np.nonzero(kept)
        return Windows(hashes[kept], rows, places)


def _mix(hashes: np.ndarray) -> np.ndarray:
    """Spreads what differs in any bit over all bits (the finaliser of SplitMix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = hashes ^ (hashes >> np.uint64(31))
    return mixed
