"""MinHash signatures of documents, whose bands find near duplicates (locality-sensitive hashing).

Broder, 1997, "On the resemblance and containment of documents". The signatures are those of Dahlgaard, Knudsen and
Thorup, 2017, "Fast similarity sketching": they need about one hash per shingle, instead of one per shingle and place of
the signature, and are as accurate as independent hashes, even for short documents.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from pipeline.text.characters import LONE, code_points, word_classes
from pipeline.text.fingerprint import fingerprint

SHINGLE_WORDS = 5
# A pair of Jaccard similarity s shares a band with probability 1 - (1 - s**ROWS)**BANDS: 0.02 at 0.5, 0.11 at 0.6,
# 0.43 at 0.7, 0.69 at 0.75, 0.90 at 0.8, 0.99 at 0.85. It is steepest at about s = (1 / BANDS)**(1 / ROWS) = 0.74.
BANDS, ROWS = 20, 10
_PLACES = BANDS * ROWS
_EMPTY = np.uint64(2**64 - 1)
_BATCH_CHARS, _BATCH_DOCUMENTS = 1 << 20, 1 << 12  # Bounds memory, and keeps the arrays in the processor's cache.
_BASE = 0x9E3779B97F4A7C15  # Odd: it has an inverse modulo 2**64.


def band_keys(documents: Sequence[str]) -> np.ndarray:
    """Hashes the bands of the documents' MinHash signatures.

    Args:
        documents: texts without surrogates. Case, punctuation and white space are ignored; in a script without spaces
            between words, each character is a word.

    Returns:
        uint64 `[documents, BANDS]`. Two documents that share a key in a column are most likely near duplicates.
    """
    keys = np.empty((len(documents), BANDS), np.uint64)
    start = 0
    while start < len(documents):
        end, chars = start, 0
        while end < len(documents) and end - start < _BATCH_DOCUMENTS and (end == start or chars < _BATCH_CHARS):
            chars += len(documents[end])
            end += 1
        keys[start:end] = _band_keys(documents[start:end])
        start = end
    return keys


def _band_keys(documents: Sequence[str]) -> np.ndarray:
    words, word_splits = word_hashes(documents)
    shingles, splits = shingle_hashes(words, word_splits)
    signatures = sketch(shingles, splits).reshape(len(documents), BANDS, ROWS)
    keys = np.zeros((len(documents), BANDS), np.uint64)
    for row in range(ROWS):
        keys = _mix(keys + signatures[:, :, row])
    # A document without words is similar only to itself: its keys come from its fingerprint.
    for index in np.flatnonzero(np.diff(word_splits) == 0).tolist():
        own = np.uint64(int.from_bytes(fingerprint(documents[index])[:8], "little"))
        keys[index] = _mix(own + np.arange(BANDS, dtype=np.uint64))
    return keys


def word_hashes(documents: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes the words of documents.

    Returns:
        `(hashes, row_splits)`: uint64 `[words]`, document by document, and int64 `[documents + 1]`.
    """
    lowered = [f"{document.lower()} " for document in documents]  # The space ends the document's last word.
    text = "".join(lowered)
    firsts, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    start = 0
    while start < len(text):
        end = min(start + _BATCH_CHARS, len(text))
        end = text.rfind(" ", start, end) + 1 or end
        first, words = _hash_words(code_points(text[start:end]))
        firsts.append(first + start)
        hashes.append(words)
        start = end
    row_splits = np.searchsorted(np.concatenate(firsts), np.cumsum([0, *map(len, lowered)]))
    return np.concatenate(hashes), row_splits


def _hash_words(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the index of each word's first character in `codes`, uint32 `[characters]`, and the words' hashes."""
    classes = word_classes()[codes]
    in_word, lone = classes > 0, classes == LONE
    begins, ends = in_word.copy(), in_word.copy()
    # Two adjacent word characters are in the same word, unless one of them is a word by itself.
    goes_on = in_word[:-1] & in_word[1:] & ~lone[:-1] & ~lone[1:]
    begins[1:] &= ~goes_on
    ends[:-1] &= ~goes_on
    first, last = np.flatnonzero(begins), np.flatnonzero(ends)
    # Prefix sums of a polynomial hash. Their difference between a word's ends, divided by the base to the power of the
    # word's place, is the word's hash: modulo 2**64, where odd numbers have inverses.
    powers, inverses = _powers()
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(_mix(codes.astype(np.uint64)) * powers[: len(codes)], out=sums[1:])
    return first, _mix((sums[last + 1] - sums[first]) * inverses[first])


def shingle_hashes(words: np.ndarray, row_splits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes every run of `SHINGLE_WORDS` words; of a shorter document, all words together.

    Args:
        words: uint64 `[words]`.
        row_splits: int64 `[documents + 1]`, over the words.

    Returns:
        `(hashes, row_splits)`: uint64 `[shingles]` and int64 `[documents + 1]`.
    """
    lengths = np.diff(row_splits)
    numbers = np.maximum(lengths - SHINGLE_WORDS + 1, np.minimum(lengths, 1))
    splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers)])
    places = np.repeat(row_splits[:-1] - splits[:-1], numbers) + np.arange(splits[-1])
    ends = np.repeat(row_splits[1:], numbers)
    padded = np.concatenate([words, np.zeros(SHINGLE_WORDS, np.uint64)])
    hashes = np.zeros(len(places), np.uint64)
    for offset in range(SHINGLE_WORDS):
        hashes = hashes * np.uint64(_BASE) + np.where(places + offset < ends, padded[places + offset], np.uint64(0))
    return _mix(hashes), splits


def sketch(shingles: np.ndarray, row_splits: np.ndarray) -> np.ndarray:
    """Computes signatures of sets: two sets agree in a place with probability equal to their Jaccard similarity.

    Each round assigns every element to one place, which keeps the least value. Sets with empty places go on to the next
    round, whose values are greater than those of all earlier rounds. After `BANDS * ROWS` rounds, the same number of
    further rounds each assign all elements to a single place, so that even the smallest set is finished.

    Args:
        shingles: uint64 `[shingles]`, evenly distributed.
        row_splits: int64 `[sets + 1]`.

    Returns:
        uint64 `[sets, BANDS * ROWS]`; all ones for an empty set.
    """
    sets = len(row_splits) - 1
    signatures = np.full((sets, _PLACES), _EMPTY, np.uint64)
    set_of = np.repeat(np.arange(sets), np.diff(row_splits))
    open_sets, is_open = np.arange(sets), np.ones(sets, bool)
    for number in range(2 * _PLACES):
        if not len(shingles):
            break
        drawn = _mix(shingles + np.uint64(number + 1))
        if number < _PLACES:
            places = ((drawn >> np.uint64(32)) * np.uint64(_PLACES) >> np.uint64(32)).astype(np.int64)
        else:
            places = np.full(len(drawn), number - _PLACES)
        values = (drawn & np.uint64(2**32 - 1)) | np.uint64(number << 32)
        np.minimum.at(signatures.reshape(-1), set_of * _PLACES + places, values)
        is_open[open_sets] = (signatures[open_sets] == _EMPTY).any(axis=1)
        open_sets = open_sets[is_open[open_sets]]
        unfinished = is_open[set_of]
        shingles, set_of = shingles[unfinished], set_of[unfinished]
    return signatures


@functools.cache
def _powers() -> tuple[np.ndarray, np.ndarray]:
    """Returns the powers of the base and their inverses, uint64, starting at power zero."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 2**64)):
        factors = np.full(_BATCH_CHARS, base, np.uint64)
        factors[0] = 1
        tables.append(np.cumprod(factors))
    return tables[0], tables[1]


def _mix(values: np.ndarray) -> np.ndarray:
    """Mixes 64-bit values with MurmurHash3's finaliser."""
    mixed: np.ndarray = values ^ (values >> np.uint64(33))
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed
