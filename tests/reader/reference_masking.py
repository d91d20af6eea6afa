"""What masks drawn at reading are compared with: the same rules and random numbers, in TensorFlow ops over a batch.

The rules are those of `pipeline.masking.kernels`. What is chosen for an example does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.masking import MaskingPolicy

# What a number is drawn for: keeps the streams of an example apart.
_TOKENS, _PLACES, _LENGTHS, _FILL, _ACTIONS, _RANDOM_IDS = range(6)


def mask_batch(
    policy: MaskingPolicy,
    special_ids: Mapping[str, int],
    ordinary_ids: np.ndarray,
    seed: int,
    batch: Mapping[str, Any],
    examples: np.ndarray,
    epochs: np.ndarray,
    masked_lm_prob: float,
) -> dict[str, Any]:
    """What `pipeline.reader.masks.ReadingMasks.draw` makes of a batch; its arguments."""
    ids = batch["input_word_ids"]
    keys = Draws(seed, examples, epochs)
    real = ids != special_ids["pad"]
    maskable = real & (ids != special_ids["cls"]) & (ids != special_ids["sep"])
    lengths = tf.reduce_sum(tf.cast(real, tf.float64), axis=1)
    room = policy.max_predictions_per_seq
    wanted = tf.clip_by_value(tf.cast(tf.round(lengths * masked_lm_prob), tf.int32), 1, room)
    if policy.unit == "token":
        units = select_tokens(maskable, wanted, room, keys)
    else:
        units = select_words(maskable, batch["word_starts"] > 0, wanted, policy.unit_lengths(), keys)
    places, first, found = tokens_of(units, room)
    originals = tf.gather(ids, places, batch_dims=1)
    drawn = keys.uniform(_ACTIONS, tf.cast(first, tf.int64))
    by_mask = drawn < policy.mask_prob
    at_random = ~by_mask & (drawn < policy.mask_prob + policy.random_prob)
    number = keys.uniform(_RANDOM_IDS, tf.cast(places, tf.int64)) * len(ordinary_ids)
    random_ids = tf.gather(np.asarray(ordinary_ids, np.int32), tf.cast(number, tf.int32))
    replaced = tf.where(by_mask, special_ids["mask"], tf.where(at_random, random_ids, originals))
    where = tf.where(found)  # [predictions, 2]: example, prediction.
    at = tf.stack([where[:, 0], tf.cast(tf.gather_nd(places, where), tf.int64)], axis=1)
    masked = {name: tensor for name, tensor in batch.items() if name != "word_starts"}
    return masked | {
        "input_word_ids": tf.tensor_scatter_nd_update(ids, at, tf.gather_nd(replaced, where)),
        "input_mask": tf.cast(real, tf.int32),
        "masked_lm_positions": places,
        "masked_lm_ids": tf.where(found, originals, 0),
        "masked_lm_weights": tf.cast(found, tf.float32),
    }


class Draws:
    """Random numbers of the examples of a batch, by purpose and counter.

    A number is the SplitMix64 finaliser (Steele et al., 2014, "Fast splittable pseudorandom number generators") of its
    example's key, purpose and counter: a hash, so that nothing is kept between two draws.
    """

    def __init__(self, seed: int, examples: np.ndarray, epochs: np.ndarray) -> None:
        keys = _mix(
            tf.bitwise.bitwise_xor(tf.constant(examples, tf.uint64), _mix(tf.constant(seed % 2**64, tf.uint64)))
        )
        self._keys = _mix(keys ^ tf.cast(epochs, tf.uint64))

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


class Units(NamedTuple):
    """What examples are to predict, in any order: tokens in a row, drawn and replaced together.

    Attributes:
        begin: int32 `[batch, n]`, the place of the first token.
        size: int32 `[batch, n]`, how many tokens; 0 where there is no unit.
    """

    begin: Any
    size: Any


def tokens_of(units: Units, room: int) -> tuple[Any, Any, Any]:
    """The tokens of units, `[batch, room]`: their places, ascending; each one's unit's first place; where there is one.

    Both places are 0 where there is none.
    """
    # In one number, so that they are sorted together: places and sizes are below 2**15.
    packed = tf.where(units.size > 0, units.begin * (1 << 15) + units.size, tf.int32.max)
    packed = _least(packed, room)
    exists = packed < tf.int32.max
    begin, size = tf.where(exists, packed // (1 << 15), 0), tf.where(exists, packed % (1 << 15), 0)
    ends = tf.cumsum(size, axis=1)
    number = tf.range(room)[tf.newaxis] + tf.zeros_like(begin)
    found = number < ends[:, -1:]
    unit = tf.where(found, tf.searchsorted(ends, number, side="right"), 0)
    first = tf.gather(begin, unit, batch_dims=1)
    places = first + number - tf.gather(ends - size, unit, batch_dims=1)
    return tf.where(found, places, 0), tf.where(found, first, 0), found


def select_tokens(maskable: Any, wanted: Any, room: int, keys: Draws) -> Units:
    """Chooses tokens uniformly: those of the least random numbers."""
    begin = _in_random_order(maskable, room, _TOKENS, keys)
    wanted = tf.minimum(wanted, tf.reduce_sum(tf.cast(maskable, tf.int32), axis=1))
    return Units(begin, tf.cast(tf.range(tf.shape(begin)[1]) < wanted[:, tf.newaxis], tf.int32))


def select_words(maskable: Any, starts_word: Any, wanted: Any, lengths: np.ndarray, keys: Draws) -> Units:
    """Chooses words, n-grams or spans as `pipeline.masking.kernels.mask_batch`."""
    seq_length = tf.shape(maskable)[1]
    place = tf.range(seq_length)
    starts_word = maskable & (starts_word | ~tf.pad(maskable[:, :-1], [[0, 0], [1, 0]]))
    # Where a token's word ends: the next place that begins a word or is not maskable.
    ends = _next_place(starts_word | ~maskable)
    remaining = tf.minimum(wanted, tf.reduce_sum(tf.cast(maskable, tf.int32), axis=1))
    words = _in_random_order(starts_word, seq_length, _FILL, keys)
    sizes = tf.gather(tf.where(starts_word, ends - place, 0), words, batch_dims=1)
    if len(lengths) == 1:
        return Units(words, _take(sizes, remaining))
    drawn = _draw_units(maskable, starts_word, ends, wanted, remaining, lengths, keys)
    covered = tf.gather(_covered(drawn, seq_length), words, batch_dims=1)
    more = _take(tf.where(covered, 0, sizes), remaining - tf.reduce_sum(drawn.size, axis=1))
    return Units(tf.concat([drawn.begin, words], axis=1), tf.concat([drawn.size, more], axis=1))


def _draw_units(
    maskable: Any, starts_word: Any, ends: Any, wanted: Any, remaining: Any, lengths: np.ndarray, keys: Draws
) -> Units:
    """Draws units of one or several words and takes one after the other, if it overlaps none before and has room."""
    last_place = tf.shape(maskable)[1] - 1
    # An example's own bound: what it draws does not depend on what else is in the batch.
    draws = 2 * wanted + 16
    draw = tf.range(tf.reduce_max(draws), dtype=tf.int64)  # [draws]
    word = tf.cumsum(tf.cast(starts_word, tf.int32), axis=1)  # [batch, S]: words begun up to a place.
    words = word[:, -1:]
    first = tf.cast(keys.uniform(_PLACES, draw) * tf.cast(words, tf.float64), tf.int32) + 1  # [batch, draws]
    longer = keys.uniform(_LENGTHS, draw)[:, :, tf.newaxis] >= tf.constant(np.cumsum(lengths)[:-1], tf.float64)
    last = first + tf.reduce_sum(tf.cast(longer, tf.int32), axis=2)
    begin = tf.searchsorted(word, first)
    begin_of_last = tf.minimum(tf.searchsorted(word, tf.minimum(last, words)), last_place)
    end = tf.gather(ends, begin_of_last, batch_dims=1)
    # Nothing but maskable tokens in between: the unit does not span a special token.
    breaks = tf.cumsum(tf.cast(~maskable, tf.int32), axis=1)
    begin = tf.minimum(begin, last_place)
    unbroken = tf.gather(breaks, begin, batch_dims=1) == tf.gather(breaks, begin_of_last, batch_dims=1)
    size = tf.where((last <= words) & unbroken & (tf.cast(draw, tf.int32) < draws[:, tf.newaxis]), end - begin, 0)

    def take(step: Any, taken: Any, remaining: Any) -> tuple[Any, Any, Any]:
        at, tokens = begin[:, step, tf.newaxis], size[:, step, tf.newaxis]
        overlaps = tf.reduce_any((taken > 0) & (begin < at + tokens) & (at < begin + taken), axis=1)
        tokens = tf.where(overlaps | (tokens[:, 0] > remaining), 0, tokens[:, 0])
        taken = tf.where(tf.range(tf.shape(taken)[1]) == step, tokens[:, tf.newaxis], taken)
        return step + 1, taken, remaining - tokens

    _, taken, _ = tf.while_loop(
        lambda step, taken, remaining: (step < tf.shape(size)[1]) & tf.reduce_any(remaining > 0),
        take,
        (tf.constant(0), tf.zeros_like(size), remaining),
    )
    return Units(begin, taken)


def _take(sizes: Any, remaining: Any) -> Any:
    """Takes words in their order, passing over those that do not fit into what room is left.

    Args:
        sizes: int32 `[batch, n]`, tokens of the words.
        remaining: int32 `[batch]`, the room, in tokens.

    Returns:
        int32 `[batch, n]`: the sizes of those that are taken, 0 for the others.
    """

    def take(step: Any, taken: Any, remaining: Any) -> tuple[Any, Any, Any]:
        tokens = tf.where(sizes[:, step] <= remaining, sizes[:, step], 0)
        taken = tf.where(tf.range(tf.shape(sizes)[1]) == step, tokens[:, tf.newaxis], taken)
        return step + 1, taken, remaining - tokens

    _, taken, _ = tf.while_loop(
        lambda step, taken, remaining: (step < tf.shape(sizes)[1]) & tf.reduce_any(remaining > 0),
        take,
        (tf.constant(0), tf.zeros_like(sizes), remaining),
    )
    return taken


def _covered(units: Units, seq_length: Any) -> Any:
    """Which places belong to a unit: bool `[batch, S]`."""
    rows = tf.repeat(tf.range(tf.shape(units.begin)[0])[:, tf.newaxis], tf.shape(units.begin)[1], axis=1)
    begins = tf.cast(units.size > 0, tf.int32)
    changes = tf.scatter_nd(
        tf.stack([tf.concat([rows, rows], 1), tf.concat([units.begin, units.begin + units.size], 1)], axis=2),
        tf.concat([begins, -begins], axis=1),
        [tf.shape(rows)[0], seq_length + 1],
    )
    return tf.cumsum(changes, axis=1)[:, :-1] > 0


def _in_random_order(where: Any, most: Any, purpose: int, keys: Draws) -> Any:
    """Places of each row, those that hold in a random order first: int32 `[batch, most or S]`."""
    place = tf.range(tf.shape(where)[1], dtype=tf.int64)
    drawn = keys.distinct(purpose, place)
    return tf.math.top_k(-tf.where(where, drawn, tf.int64.max), tf.minimum(most, tf.shape(where)[1])).indices


def _next_place(marked: Any) -> Any:
    """For each place, the first one behind it that is marked, or the row's end: int32 `[batch, S]`."""
    seq_length = tf.shape(marked)[1]
    nearest = tf.pad(
        tf.where(marked, tf.range(seq_length), seq_length)[:, 1:], [[0, 0], [0, 1]], constant_values=seq_length
    )

    def double(step: Any, nearest: Any) -> tuple[Any, Any]:
        shifted = tf.pad(nearest[:, step:], [[0, 0], [0, step]], constant_values=seq_length)
        return 2 * step, tf.minimum(nearest, shifted)

    return tf.while_loop(lambda step, nearest: step < seq_length, double, (tf.constant(1), nearest))[1]


def _least(values: Any, most: int) -> Any:
    """The least `most` values of each row, ascending; rows of fewer are filled with their type's largest."""
    number = tf.minimum(most, tf.shape(values)[1])
    least = -tf.math.top_k(-values, number).values
    return tf.pad(least, [[0, 0], [0, most - number]], constant_values=values.dtype.max)
