"""Masking when examples are read: anew in every epoch, from one copy of the corpus (Liu et al., 2019, "RoBERTa").

The rules are those of `pipeline.masking`, in TensorFlow ops over a batch. Nothing here has a state: what is drawn for
an example follows from the seed, the epoch and the example's own bytes, so that it is the same with any number of
workers, in any order, and after any resume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.masking import MaskingPolicy

# What a number is drawn for: keeps the streams of an example apart.
_TOKENS, _PLACES, _LENGTHS, _FILL, _ACTIONS, _RANDOM_IDS = range(6)


class DynamicMasking:
    """Masks batches of unmasked examples.

    Args:
        policy: the rates and the unit.
        special_ids: ids of the special tokens, by "pad", "cls", "sep", "mask".
        ordinary_ids: the ids that a random replacement may be.
        seed: the seed of all masks.
    """

    def __init__(
        self, policy: MaskingPolicy, special_ids: Mapping[str, int], ordinary_ids: Sequence[int] | np.ndarray, seed: int
    ) -> None:
        self._policy = policy
        self._special_ids = special_ids
        self._ordinary_ids = np.asarray(ordinary_ids, np.int32)
        self._seed = seed

    @property
    def pad_id(self) -> int:
        """Id of the padding."""
        return self._special_ids["pad"]

    def __call__(self, batch: Mapping[str, Any], serialized: Any, epoch: Any, masked_lm_prob: Any) -> dict[str, Any]:
        """Masks a batch.

        Args:
            batch: int32 `[batch, S]` tensors `input_word_ids`, `input_type_ids` and `word_starts`, and whatever else.
            serialized: string `[batch]`, the examples' own bytes.
            epoch: int64 `[batch]`, which time each example is read.
            masked_lm_prob: float64 scalar, the share of tokens to predict.

        Returns:
            The batch with `word_starts` replaced by `input_mask`, `masked_lm_positions`, `masked_lm_ids` and
            `masked_lm_weights`.
        """
        ids = batch["input_word_ids"]
        keys = _Draws(self._seed, serialized, epoch)
        real = ids != self._special_ids["pad"]
        # Text never gives a special id: these are the layout's own.
        maskable = real & (ids != self._special_ids["cls"]) & (ids != self._special_ids["sep"])
        lengths = tf.reduce_sum(tf.cast(real, tf.float64), axis=1)
        wanted = tf.cast(tf.round(lengths * masked_lm_prob), tf.int32)
        wanted = tf.clip_by_value(wanted, 1, self._policy.max_predictions_per_seq)
        if self._policy.unit == "token":
            unit = _select_tokens(maskable, wanted, keys)
        else:
            starts = batch["word_starts"] > 0
            unit = _select_words(maskable, starts, wanted, self._policy.unit_lengths(), keys)
        masked = {name: tensor for name, tensor in batch.items() if name != "word_starts"}
        return masked | {"input_mask": tf.cast(real, tf.int32)} | self._replace(ids, unit, keys)

    def _replace(self, ids: Any, unit: Any, keys: _Draws) -> dict[str, Any]:
        """Puts the replacements in and lists the predictions; `unit` is -1 where nothing is predicted."""
        selected = unit >= 0
        drawn = keys.uniform(_ACTIONS, tf.cast(unit, tf.int64))
        by_mask = selected & (drawn < self._policy.mask_prob)
        at_random = selected & ~by_mask & (drawn < self._policy.mask_prob + self._policy.random_prob)
        place = tf.range(tf.shape(ids)[1])
        number = keys.uniform(_RANDOM_IDS, tf.cast(place, tf.int64)) * len(self._ordinary_ids)
        random_ids = tf.gather(self._ordinary_ids, tf.cast(number, tf.int32))
        replaced = tf.where(by_mask, self._special_ids["mask"], tf.where(at_random, random_ids, ids))
        # Sorting the places of what is selected before all others lists the predictions, ascending.
        most, seq_length = self._policy.max_predictions_per_seq, tf.shape(ids)[1]
        places = tf.sort(tf.where(selected, place, seq_length), axis=1)
        places = tf.pad(places, [[0, 0], [0, most]], constant_values=tf.int32.max)[:, :most]
        found = places < seq_length
        positions = tf.where(found, places, 0)
        return {
            "input_word_ids": replaced,
            "masked_lm_positions": positions,
            "masked_lm_ids": tf.where(found, tf.gather(ids, positions, batch_dims=1), 0),
            "masked_lm_weights": tf.cast(found, tf.float32),
        }


class _Draws:
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

    def uniform(self, purpose: int, counter: Any) -> Any:
        """float64 in [0, 1), of the shape of `bits`."""
        return tf.cast(_shift(self.bits(purpose, counter), 11), tf.float64) * 2.0**-53


def _mix(values: Any) -> Any:
    values = (values ^ _shift(values, 30)) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    values = (values ^ _shift(values, 27)) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return values ^ _shift(values, 31)


def _shift(values: Any, bits: int) -> Any:
    return tf.bitwise.right_shift(values, tf.constant(bits, tf.uint64))


def _select_tokens(maskable: Any, wanted: Any, keys: _Draws) -> Any:
    """Chooses tokens uniformly; int32 `[batch, S]`: each one's number, -1 where none is chosen."""
    seq_length = tf.shape(maskable)[1]
    place = tf.range(seq_length, dtype=tf.int64)
    # A place in the low bits makes the numbers distinct. Less a bit, they fit the int64 that sorting knows.
    drawn = tf.cast(_shift(keys.bits(_TOKENS, place), 17), tf.int64) * (1 << 16) + place
    drawn = tf.where(maskable, drawn, tf.int64.max)
    rank = tf.minimum(wanted, tf.reduce_sum(tf.cast(maskable, tf.int32), axis=1))
    ordered = tf.sort(drawn, axis=1)
    limit = tf.gather(ordered, tf.maximum(rank - 1, 0), batch_dims=1)
    chosen = maskable & (drawn <= limit[:, tf.newaxis]) & (rank > 0)[:, tf.newaxis]
    return tf.where(chosen, tf.cast(place, tf.int32), -1)


def _select_words(maskable: Any, starts_word: Any, wanted: Any, lengths: np.ndarray, keys: _Draws) -> Any:
    """Chooses words, n-grams or spans as `pipeline.masking.selection.select_words`; int32 `[batch, S]` as above."""
    seq_length = tf.shape(maskable)[1]
    place = tf.range(seq_length)
    before = tf.pad(maskable[:, :-1], [[0, 0], [1, 0]])
    behind = tf.pad(maskable[:, 1:], [[0, 0], [0, 1]])
    starts_word = maskable & (starts_word | ~before)
    ends_word = maskable & (~behind | tf.pad(starts_word[:, 1:], [[0, 0], [0, 1]], constant_values=True))
    # By word: its first token's place and its last one's.
    first_place = tf.sort(tf.where(starts_word, place, seq_length), axis=1)
    last_place = tf.sort(tf.where(ends_word, place, seq_length), axis=1)
    words = tf.reduce_sum(tf.cast(starts_word, tf.int32), axis=1)
    maskable_before = tf.cumsum(tf.cast(maskable, tf.int32), axis=1, exclusive=True)
    thresholds = tf.constant(np.cumsum(lengths)[:-1], tf.float64)

    def add(unit: Any, remaining: Any, begin: Any, end: Any, number: Any, accept: Any) -> tuple[Any, Any]:
        """Gives the tokens of `[begin, end)` a number, `[batch]`, in the examples that `accept` it and have room."""
        inside = (place >= begin[:, tf.newaxis]) & (place < end[:, tf.newaxis])
        accept &= (end - begin <= remaining) & ~tf.reduce_any(inside & (unit >= 0), axis=1)
        unit = tf.where(inside & accept[:, tf.newaxis], number[:, tf.newaxis], unit)
        return unit, tf.where(accept, remaining - (end - begin), remaining)

    def draw(step: Any, unit: Any, remaining: Any) -> tuple[Any, Any, Any]:
        counter = tf.cast(step, tf.int64)[tf.newaxis]
        drawn = keys.uniform(_PLACES, counter)[:, 0] * tf.cast(words, tf.float64)
        longer = keys.uniform(_LENGTHS, counter) >= thresholds
        first = tf.cast(drawn, tf.int32)
        last = first + tf.reduce_sum(tf.cast(longer, tf.int32), axis=1)
        accept = (last < words) & (step < most_draws)
        last = tf.minimum(last, seq_length - 1)
        begin = tf.gather(first_place, tf.minimum(first, seq_length - 1), batch_dims=1)
        end = tf.gather(last_place, last, batch_dims=1) + 1
        # Nothing but maskable tokens in between: the unit does not span a special token.
        at_begin = tf.gather(maskable_before, tf.minimum(begin, seq_length - 1), batch_dims=1)
        at_last = tf.gather(maskable_before, tf.minimum(end, seq_length) - 1, batch_dims=1)
        accept &= at_last - at_begin + 1 == end - begin
        return step + 1, *add(unit, remaining, begin, end, tf.fill(tf.shape(words), step), accept)

    def fill(step: Any, unit: Any, remaining: Any, going: Any) -> tuple[Any, Any, Any, Any]:
        """Adds to each example the word of the least random number among those that fit."""
        sizes = last_place - first_place + 1
        free = tf.gather(unit, tf.minimum(first_place, seq_length - 1), batch_dims=1) < 0
        fits = free & (place < words[:, tf.newaxis]) & (sizes <= remaining[:, tf.newaxis])
        order = keys.uniform(_FILL, tf.cast(place, tf.int64))
        word = tf.argmin(tf.where(fits, order, 2.0), axis=1, output_type=tf.int32)
        begin, end = tf.gather(first_place, word, batch_dims=1), tf.gather(last_place, word, batch_dims=1) + 1
        going = tf.reduce_any(fits, axis=1)
        unit, remaining = add(unit, remaining, begin, end, most_draws + step, going)
        return step + 1, unit, remaining, going

    possible = tf.reduce_sum(tf.cast(maskable, tf.int32), axis=1)
    state = (tf.constant(0), tf.fill(tf.shape(maskable), -1), tf.minimum(wanted, possible))
    # An example's own bound: what it draws does not depend on what else is in the batch.
    most_draws = 4 * wanted + 16  # [batch]
    _, unit, remaining = tf.while_loop(
        lambda step, unit, remaining: tf.reduce_any((remaining > 0) & (step < most_draws)), draw, state
    )
    _, unit, _, _ = tf.while_loop(
        lambda step, unit, remaining, going: tf.reduce_any(going),
        fill,
        (tf.constant(0), unit, remaining, remaining > 0),
    )
    return unit
