"""Hashes of sequences, and of windows within them, to find repetitions.

Hashes have 64 bits and are linear in random numbers drawn for each token of the vocabulary. Two different examples have
the same hash with a probability of about 2**-64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.inspection.examples import Examples
from pipeline.seeding import generator

_BASE = 0x9E3779B97F4A7C15  # Odd: powers of it have inverses modulo 2**64.


class Windows(NamedTuple):
    """Windows of consecutive tokens within segments, sampled by their hash.

    Attributes:
        hashes: uint64 `[windows]`, which depend only on the windows' tokens.
        rows: int64 `[windows]`, their examples.
        places: int64 `[windows]`, the positions of their first tokens.
    """

    hashes: np.ndarray
    rows: np.ndarray
    places: np.ndarray


class Fingerprinter:
    """Computes hashes of the sequences of examples.

    Args:
        vocab_size: entries of the vocabulary.
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
        # Base-2 logarithms of factorials.
        self._log_factorial = np.concatenate([[0.0], np.cumsum(np.log2(np.arange(1, max_seq_length + 1)))])

    def texts(self, examples: Examples) -> np.ndarray:
        """Hashes the tokens of sequences before masking, wherever in their rows they are: uint64 `[sequences]`."""
        weights = self._of_place[0, _place_in_sequence(examples)]
        return _mix(examples.sums(self._of_token[examples.ids] * weights * examples.real))

    def masked(self, examples: Examples) -> np.ndarray:
        """Hashes sequences with their masks: uint64 `[sequences]`."""
        of_stored, of_mask = self._of_place[:, _place_in_sequence(examples)]
        hashes = self._of_token[examples.stored_ids] * of_stored * examples.real
        hashes += self._of_token[examples.ids] * of_mask * examples.predicted
        return _mix(examples.sums(hashes))

    def mask_bits(self, examples: Examples, mask_id: int) -> np.ndarray:
        """Returns the base-2 logarithm of the number of masks that a sequence might have had: float32 `[sequences]`.

        Counts the ways to choose the tokens and the random replacements.
        """
        free, chosen = examples.sums(examples.ordinary), examples.sums(examples.predicted)
        ways = self._log_factorial[free] - self._log_factorial[chosen] - self._log_factorial[free - chosen]
        at_random = (examples.stored_ids != examples.ids) & (examples.stored_ids != mask_id)
        bits: np.ndarray = ways + examples.sums(at_random) * np.log2(len(self._of_token))
        return bits.astype(np.float32)

    def windows(self, examples: Examples, width: int, one_in: int) -> Windows:
        """Finds windows of `width` tokens within segments, and keeps about `1 / one_in` of them, chosen by hash."""
        length = examples.ids.shape[1]
        if width > length:
            return Windows(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
        # Prefix sums of the tokens' random numbers times powers of a base. The difference of two sums, divided by the
        # power at its start, depends only on the tokens between them.
        sums = np.zeros((len(examples), length + 1), np.uint64)
        np.cumsum(self._of_token[examples.ids] * self._powers[:length], axis=1, dtype=np.uint64, out=sums[:, 1:])
        hashes = _mix((sums[:, width:] - sums[:, :-width]) * self._inverses[: length - width + 1])
        breaks = np.zeros((len(examples), length + 1), np.int32)
        np.cumsum(~examples.ordinary, axis=1, out=breaks[:, 1:])
        kept = (breaks[:, width:] == breaks[:, :-width]) & (hashes % np.uint64(one_in) == 0)
        rows, places = np.nonzero(kept)
        return Windows(hashes[kept], rows, places)


def _place_in_sequence(examples: Examples) -> np.ndarray:
    """The number of each token in its sequence, from 0: int64 `[batch, S]`."""
    places: np.ndarray = np.arange(examples.ids.shape[1]) - examples.begin_at
    return places


def _mix(hashes: np.ndarray) -> np.ndarray:
    """Spreads a difference in any bit over all bits (the finaliser of SplitMix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = hashes ^ (hashes >> np.uint64(31))
    return mixed
