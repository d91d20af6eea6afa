"""Masking a batch, compiled: one pass over each example, when records are written and when they are read.

What is chosen for an example does not depend on the others, and no id that a record holds is ever used as an index.
Units of several words are drawn one after the other, a place first, then a length; one that overlaps an earlier unit,
spans a special token or has more tokens than are still wanted is passed over. That is tensorflow/models'
`_masking_ngrams` (create_pretraining_data.py), with its lists of what is left to draw replaced by drawing again. What
has not been found after many draws is filled with single words.
"""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import compiled, inlined, read_only
from pipeline.splitmix import GOLDEN, mixed

# What a number is drawn for: keeps the streams of an example apart.
_TOKENS, _PLACES, _LENGTHS, _FILL, _ACTIONS, _RANDOM_IDS = (np.uint64(purpose) for purpose in range(1, 7))
_BUCKETS = 256

_INT32_ROWS, _FLOAT32_ROWS = types.int32[:, ::1], types.float32[:, ::1]
_INT64, _FLOAT64 = types.int64, types.float64


@inlined
def _bits(key: np.uint64, purpose: np.uint64, counter: int) -> np.uint64:
    """The number of an example, purpose and counter: a hash, so that nothing is kept between two draws."""
    return mixed(mixed(key ^ purpose) + np.uint64(counter) * GOLDEN)


@inlined
def _uniform(key: np.uint64, purpose: np.uint64, counter: int) -> float:
    """In [0, 1)."""
    return np.float64(_bits(key, purpose, counter) >> np.uint64(11)) * 2.0**-53


@inlined
def find_words(maskable: np.ndarray, starts: np.ndarray, single: bool, begins: np.ndarray, ends: np.ndarray) -> int:
    """Lists the words of an example, or its tokens as words of one; returns how many there are.

    A maskable token after one that is not begins a word, too.
    """
    words = 0
    inside = False
    for place in range(len(maskable)):
        if inside and (single or starts[place] > 0 or not maskable[place]):
            ends[words - 1] = place
            inside = False
        if maskable[place] and not inside:
            begins[words] = place
            words += 1
            inside = True
    if inside:
        ends[words - 1] = len(maskable)
    return words


@inlined
def _order(
    key: np.uint64, purpose: np.uint64, places: np.ndarray, number: int, drawn: np.ndarray, order: np.ndarray
) -> None:
    """Puts the indices of the first `number` places in a random order: by the numbers drawn for the places.

    Buckets of the numbers' highest bits bring them nearly in order; little is left for the insertions.
    """
    slots = np.zeros(_BUCKETS + 1, np.int64)
    for item in range(number):
        # The place in the low bits distinguishes equal numbers.
        drawn[item] = ((_bits(key, purpose, places[item]) >> np.uint64(17)) << np.uint64(16)) + np.uint64(places[item])
        slots[((drawn[item] >> np.uint64(55)) & np.uint64(_BUCKETS - 1)) + np.uint64(1)] += 1
    for bucket in range(_BUCKETS):
        slots[bucket + 1] += slots[bucket]
    for item in range(number):
        bucket = (drawn[item] >> np.uint64(55)) & np.uint64(_BUCKETS - 1)
        order[slots[bucket]] = item
        slots[bucket] += 1
    for index in range(1, number):
        item = order[index]
        target = index
        while target > 0 and drawn[order[target - 1]] > drawn[item]:
            order[target] = order[target - 1]
            target -= 1
        order[target] = item


@inlined
def _take_longer(
    key: np.uint64,
    draws: int,
    thresholds: np.ndarray,
    remaining: int,
    begins: np.ndarray,
    ends: np.ndarray,
    words: int,
    unit: np.ndarray,
) -> int:
    """Draws units of one or several words, and takes one after the other if it overlaps none before, spans no special
    token and has room; returns the room that is left."""
    for draw in range(draws):
        if remaining == 0:
            break
        first = np.int64(_uniform(key, _PLACES, draw) * np.float64(words))
        last = first
        drawn = _uniform(key, _LENGTHS, draw)
        for threshold in thresholds:
            last += drawn >= threshold
        if last < words:
            tokens = ends[last] - begins[first]
            fits = tokens <= remaining and unit[begins[last]] < 0
            for word in range(first, last):
                fits = fits and unit[begins[word]] < 0 and ends[word] == begins[word + 1]
            if fits:
                unit[begins[first] : ends[last]] = begins[first]
                remaining -= tokens
    return remaining


@inlined
def _fill(
    order: np.ndarray, remaining: int, begins: np.ndarray, ends: np.ndarray, words: int, unit: np.ndarray
) -> None:
    """Takes single words in an order, passing over those that are taken or do not fit into what room is left."""
    for index in range(words):
        if remaining == 0:
            break
        begin, end = begins[order[index]], ends[order[index]]
        if end - begin <= remaining and unit[begin] < 0:
            unit[begin:end] = begin
            remaining -= end - begin


@compiled(types.uint64[::1], read_only(types.uint64), read_only(_INT64), types.uint64)
def keys_of_readings(fingerprints: np.ndarray, epochs: np.ndarray, seed: np.uint64) -> np.ndarray:
    """The keys of examples that are masked when they are read.

    Args:
        fingerprints: uint64 `[batch]`, of the examples' own bytes.
        epochs: int64 `[batch]`, which time each example is read.
        seed: the seed of all masks.

    Returns:
        uint64 `[batch]`.
    """
    keys = np.empty(len(fingerprints), np.uint64)
    for row in range(len(fingerprints)):
        keys[row] = mixed(mixed(fingerprints[row] ^ mixed(seed)) ^ np.uint64(epochs[row]))
    return keys


@compiled(
    *(types.void, read_only(types.int32, 2), read_only(types.uint64), _FLOAT64, types.boolean, read_only(_FLOAT64)),
    *(_INT64, _INT64, _INT64, _INT64, read_only(types.int32), _FLOAT64, _FLOAT64),
    *(_INT32_ROWS, _INT32_ROWS, _INT32_ROWS, _FLOAT32_ROWS, types.int64[::1]),
)
def mask_batch(
    word_starts: np.ndarray,
    keys: np.ndarray,
    masked_lm_prob: float,
    single: bool,
    thresholds: np.ndarray,
    pad_id: int,
    cls_id: int,
    sep_id: int,
    mask_id: int,
    ordinary_ids: np.ndarray,
    mask_prob: float,
    mask_or_random_prob: float,
    input_word_ids: np.ndarray,
    positions: np.ndarray,
    ids: np.ndarray,
    weights: np.ndarray,
    replaced: np.ndarray,
) -> None:
    """Masks a batch; see `pipeline.masking.masking`.

    Args:
        word_starts: int32 `[batch, S]`, above 0 where a token begins a word; not looked at with `single`.
        keys: uint64 `[batch]`, what each example's numbers are drawn by.
        masked_lm_prob: the share of tokens to predict.
        single: whether single tokens are chosen, not words.
        thresholds: float64, from which number in [0, 1) on a unit has one word more; none for units of one word.
        pad_id, cls_id, sep_id, mask_id: ids of the special tokens.
        ordinary_ids: int32, the ids that a random replacement may be.
        mask_prob: probability that a unit becomes [MASK].
        mask_or_random_prob: probability that a unit becomes [MASK] or random tokens.
        input_word_ids: int32 `[batch, S]`, the originals, to be written to.
        positions: int32 `[batch, P]`, zeros, to be written to.
        ids: int32 `[batch, P]`, zeros, to be written to.
        weights: float32 `[batch, P]`, zeros, to be written to.
        replaced: int64 `[2]`, to which the predictions are added that became [MASK], and those that became random ids.
    """
    seq_length, room = input_word_ids.shape[1], positions.shape[1]
    maskable = np.empty(seq_length, np.bool_)
    begins, ends = np.empty(seq_length, np.int64), np.empty(seq_length, np.int64)
    drawn, order = np.empty(seq_length, np.uint64), np.empty(seq_length, np.int64)
    unit = np.empty(seq_length, np.int64)  # By place, the first place of the unit that a token is chosen with, or -1.
    for row in range(len(input_word_ids)):
        tokens = input_word_ids[row]
        key = keys[row]
        length, most = 0, 0
        for place in range(seq_length):
            real = tokens[place] != pad_id
            # Text never gives a special id: these are the layout's own.
            maskable[place] = real and tokens[place] != cls_id and tokens[place] != sep_id
            length += real
            most += maskable[place]
        wanted = min(max(np.int64(np.rint(length * masked_lm_prob)), 1), room)
        words = find_words(maskable, word_starts[row], single, begins, ends)
        unit[:] = -1
        remaining = min(wanted, most)
        if len(thresholds):
            remaining = _take_longer(key, 2 * wanted + 16, thresholds, remaining, begins, ends, words, unit)
        if remaining:
            _order(key, _TOKENS if single else _FILL, begins, words, drawn, order)
            _fill(order, remaining, begins, ends, words, unit)

        column = 0
        for place in range(seq_length):
            if unit[place] >= 0:
                positions[row, column] = place
                ids[row, column] = tokens[place]
                weights[row, column] = 1.0
                column += 1
                action = _uniform(key, _ACTIONS, unit[place])
                if action < mask_prob:
                    tokens[place] = mask_id
                    replaced[0] += 1
                elif action < mask_or_random_prob and len(ordinary_ids):
                    number = _uniform(key, _RANDOM_IDS, place) * np.float64(len(ordinary_ids))
                    tokens[place] = ordinary_ids[np.int64(number)]
                    replaced[1] += 1
