"""Compiled inner loops of WordPiece, which cut text into chunks, number the chunks, and cut words into pieces."""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import compiled, inlined, read_only

PART, SPACE, LONE = 0, 1, 2
"""Classes of characters: part of a chunk; between chunks; a chunk by itself."""

_BYTES, _UINT8, _INT64 = read_only(types.uint8), types.uint8[::1], types.int64[::1]
_SPLITS, _INT32, _INT32S = read_only(types.int64), types.int32[::1], read_only(types.int32)
# A slot holds two integers: the bytes of a chunk of up to 8, or a hash of a longer one; then its length in bytes,
# shifted by 32 bits, and its number plus 1. An empty slot holds zeros.
_SLOTS = types.uint64[:, ::1]
_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, Fowler, Noll and Vo.


@inlined
def _next_character(data: np.ndarray, place: np.int64, classes: np.ndarray) -> tuple[np.int64, int]:
    """Returns the class of the UTF-8 character at `place`, and its length in bytes."""
    byte = np.int64(data[place])
    if byte < 0x80:
        return np.int64(classes[byte]), 1
    if byte < 0xE0:
        return np.int64(classes[(byte & 0x1F) << 6 | (data[place + 1] & 0x3F)]), 2
    if byte < 0xF0:
        return np.int64(classes[(byte & 0x0F) << 12 | (data[place + 1] & 0x3F) << 6 | (data[place + 2] & 0x3F)]), 3
    code = (byte & 0x07) << 18 | (data[place + 1] & 0x3F) << 12 | (data[place + 2] & 0x3F) << 6 | data[place + 3] & 0x3F
    return np.int64(classes[code]) if code < len(classes) else np.int64(PART), 4


@inlined
def _mixed(hashed: np.uint64) -> np.uint64:
    hashed = (hashed ^ (hashed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return hashed ^ (hashed >> np.uint64(29))


def _edges(before: int, kind: int) -> int:
    """Returns 1 if a chunk begins with a character, plus 2 if one ends before it, given the classes of the two."""
    begins = kind == LONE or (kind == PART and before != PART)
    return begins + 2 * (before != SPACE and (begins or kind == SPACE))


_EDGES = np.array([_edges(before, kind) for before in (PART, SPACE, LONE) for kind in (PART, SPACE, LONE)], np.uint64)


@inlined
def _find_chunks(
    data: np.ndarray, begin: np.uint64, end: np.uint64, classes: np.ndarray, begins: np.ndarray, ends: np.ndarray
) -> np.uint64:
    """Writes where the chunks of `data[begin:end]` begin and end, and returns their number.

    There are no branches but for characters beyond ASCII: where words end, a processor guesses wrong.
    """
    begun, ended, before, one = np.uint64(0), np.uint64(0), np.uint64(SPACE), np.uint64(1)
    place = begin
    while place < end:
        byte = data[place]
        if byte < 0x80:
            kind, width = np.uint64(classes[byte]), one
        else:
            wide_kind, wide_width = _next_character(data, np.int64(place), classes)
            kind, width = np.uint64(wide_kind), np.uint64(wide_width)
        edges = _EDGES[before * np.uint64(3) + kind]
        begins[begun] = ends[ended] = place
        begun += edges & one
        ended += edges >> one
        before = kind
        place += width
    ends[ended] = end
    return begun


@inlined
def _word(data: np.ndarray, begin: np.uint64, length: np.uint64) -> np.uint64:
    """Returns up to 8 bytes as an integer, the first being the lowest."""
    if begin + np.uint64(8) <= np.uint64(len(data)):
        word = (  # One instruction.
            np.uint64(data[begin])
            | np.uint64(data[begin + np.uint64(1)]) << np.uint64(8)
            | np.uint64(data[begin + np.uint64(2)]) << np.uint64(16)
            | np.uint64(data[begin + np.uint64(3)]) << np.uint64(24)
            | np.uint64(data[begin + np.uint64(4)]) << np.uint64(32)
            | np.uint64(data[begin + np.uint64(5)]) << np.uint64(40)
            | np.uint64(data[begin + np.uint64(6)]) << np.uint64(48)
            | np.uint64(data[begin + np.uint64(7)]) << np.uint64(56)
        )
        return word & (~np.uint64(0) >> (np.uint64(64) - np.uint64(8) * length))
    word = np.uint64(0)
    for byte in range(length):
        word |= np.uint64(data[begin + np.uint64(byte)]) << np.uint64(8 * byte)
    return word


@inlined
def _hash(word: np.uint64, length: np.uint64) -> np.uint64:
    hashed = (word ^ (length * np.uint64(0xD6E8FEB86659FD93))) * np.uint64(0x9E3779B97F4A7C15)
    return hashed ^ (hashed >> np.uint64(32))


@compiled(types.boolean, _BYTES, _SPLITS, _BYTES, _SLOTS, _INT64, _UINT8, _INT64, _INT32, _INT64)
def number_chunks(
    data: np.ndarray,
    row_splits: np.ndarray,
    classes: np.ndarray,
    slots: np.ndarray,
    key_splits: np.ndarray,
    keys: np.ndarray,
    state: np.ndarray,
    numbers: np.ndarray,
    number_splits: np.ndarray,
) -> bool:
    """Cuts rows of text into chunks and looks up their numbers; new chunks get the next number.

    Args:
        data: uint8, UTF-8.
        row_splits: int64 `[rows + 1]`, over the bytes.
        classes: uint8: the class of each code point; code points beyond its end are part of a chunk.
        slots: uint64 `[slots, 2]`, a hash table, see `_SLOTS`; its size is a power of two, at least twice the number of
            chunks that it is to hold.
        key_splits: int64, where each chunk begins in `keys`, and the last ends.
        keys: uint8, the bytes of the chunks.
        state: int64 `[4]`: the byte and the row to continue from, the count of numbers written, and the count of known
            chunks; updated.
        numbers: int32, output: the numbers, row by row.
        number_splits: int64 `[rows + 1]`, output.

    Returns:
        True if all rows are done; False if there was no room for a new chunk.
    """
    place, row, written, known = state[0], state[1], state[2], state[3]
    mask, eight = np.uint64(len(slots) - 1), np.uint64(8)
    longest = 0
    for first in range(row, len(row_splits) - 1):
        longest = max(longest, row_splits[first + 1] - row_splits[first])
    begins, ends = np.empty(longest + 1, np.uint64), np.empty(longest + 1, np.uint64)
    while row < len(row_splits) - 1:
        row_end = row_splits[row + 1]
        for chunk in range(_find_chunks(data, np.uint64(place), np.uint64(row_end), classes, begins, ends)):
            begin, length = begins[chunk], ends[chunk] - begins[chunk]
            word = _word(data, begin, min(length, eight))
            if length > eight:
                for offset in range(8, length - eight, 8):
                    word = _hash(word, length) ^ _word(data, begin + np.uint64(offset), eight)
                word = _hash(word, length) ^ _word(data, begin + length - eight, eight)
            slot = _hash(word, length) & mask
            while True:
                taken = slots[slot, 1]
                if taken == 0:
                    key, key_end = key_splits[known], key_splits[known] + np.int64(length)
                    if known == len(key_splits) - 1 or key_end > len(keys):
                        state[0], state[1], state[2], state[3] = np.int64(begin), row, written, known
                        return False
                    for byte in range(length):
                        keys[key + byte] = data[begin + np.uint64(byte)]
                    known += 1
                    key_splits[known] = key_end
                    taken = length << np.uint64(32) | np.uint64(known)
                    slots[slot, 0], slots[slot, 1] = word, taken
                    break
                if slots[slot, 0] == word and taken >> np.uint64(32) == length:
                    same = True
                    if length > eight:
                        key = key_splits[np.int64(taken & np.uint64(0xFFFFFFFF)) - 1]
                        for byte in range(length):
                            if keys[key + byte] != data[begin + np.uint64(byte)]:
                                same = False
                                break
                    if same:
                        break
                slot = (slot + np.uint64(1)) & mask
            numbers[written] = np.int64(taken & np.uint64(0xFFFFFFFF)) - 1
            written += 1
        place = row_end
        row += 1
        number_splits[row] = written
    state[0], state[1], state[2], state[3] = place, row, written, known
    return True


@compiled(types.void, _SLOTS, _SLOTS)
def move_slots(old: np.ndarray, new: np.ndarray) -> None:
    """Inserts what a table holds into a larger one, zeros; see `number_chunks`."""
    mask = np.uint64(len(new) - 1)
    for entry in range(len(old)):
        if old[entry, 1]:
            slot = _hash(old[entry, 0], old[entry, 1] >> np.uint64(32)) & mask
            while new[slot, 1]:
                slot = (slot + np.uint64(1)) & mask
            new[slot, 0], new[slot, 1] = old[entry, 0], old[entry, 1]


@compiled(types.void, _BYTES, _SPLITS, _BYTES, _INT32)
def fill_pieces(tokens: np.ndarray, token_splits: np.ndarray, goes_on: np.ndarray, slots: np.ndarray) -> None:
    """Inserts the entries of a vocabulary into a hash table.

    Args:
        tokens: uint8, UTF-8, concatenated, without the prefix of entries that continue a word.
        token_splits: int64 `[entries + 1]`; empty entries are skipped.
        goes_on: uint8 `[entries]`: 1 for an entry that continues a word.
        slots: int32, all -1; its size is a power of two and at least twice the number of entries.
    """
    mask = np.uint64(len(slots) - 1)
    for token in range(len(token_splits) - 1):
        begin, end = token_splits[token], token_splits[token + 1]
        if begin == end:
            continue
        hashed = _SEED ^ np.uint64(goes_on[token])
        for byte in range(begin, end):
            hashed = (hashed ^ np.uint64(tokens[byte])) * _PRIME
        slot = _mixed(hashed) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = token


@compiled(
    *(types.int64, _BYTES, _SPLITS, _BYTES, _SPLITS, _BYTES, _INT32S),
    *(types.int64, types.int64, types.int64, _INT32, _INT64),
)
def cut_words(
    words: np.ndarray,
    word_splits: np.ndarray,
    tokens: np.ndarray,
    token_splits: np.ndarray,
    goes_on: np.ndarray,
    slots: np.ndarray,
    longest: int,
    most_chars: int,
    unknown: int,
    ids: np.ndarray,
    id_splits: np.ndarray,
) -> int:
    """Cuts words into pieces, longest match first, from the left; a word with an unmatched remainder is unknown.

    Args:
        words: uint8, UTF-8, concatenated.
        word_splits: int64 `[words + 1]`.
        tokens, token_splits, goes_on, slots: the vocabulary, see `fill_pieces`.
        longest: length of the longest entry in bytes.
        most_chars: maximum characters of a word; longer words are unknown.
        unknown: the id of unknown words.
        ids: int32 `[bytes of the words or more]`, output.
        id_splits: int64 `[words + 1]`, output.

    Returns:
        The number of ids.
    """
    mask = np.uint64(len(slots) - 1)
    written = 0
    for word in range(len(word_splits) - 1):
        id_splits[word] = written
        start, end = word_splits[word], word_splits[word + 1]
        chars = 0
        for byte in range(start, end):
            chars += (words[byte] & 0xC0) != 0x80
        place = start if chars <= most_chars else end
        while place < end:
            hashed = _SEED ^ np.uint64(place > start)
            found, found_end = -1, place
            for byte in range(place, min(end, place + longest)):
                hashed = (hashed ^ np.uint64(words[byte])) * _PRIME
                slot = _mixed(hashed) & mask
                while slots[slot] >= 0:
                    token = slots[slot]
                    begin = token_splits[token]
                    if token_splits[token + 1] - begin == byte + 1 - place and goes_on[token] == (place > start):
                        same = True
                        for offset in range(byte + 1 - place):
                            if tokens[begin + offset] != words[place + offset]:
                                same = False
                                break
                        if same:
                            found, found_end = token, byte + 1
                            break
                    slot = (slot + np.uint64(1)) & mask
            if found < 0:
                break
            ids[written] = found
            written += 1
            place = found_end
        if (place < end or chars > most_chars) and end > start:
            written = id_splits[word]
            ids[written] = unknown
            written += 1
    id_splits[len(word_splits) - 1] = written
    return written


@compiled(types.void, _INT32S, _SPLITS, _SPLITS, _SPLITS, _INT64)
def count_ids(
    numbers: np.ndarray, number_splits: np.ndarray, begins: np.ndarray, ends: np.ndarray, row_splits: np.ndarray
) -> None:
    """Counts the ids of each row's chunks.

    Args:
        numbers: int32, the chunks' numbers.
        number_splits: int64 `[rows + 1]`, over `numbers`.
        begins, ends: see `put_ids`.
        row_splits: int64 `[rows + 1]`, output; must be zeros.
    """
    for row in range(len(number_splits) - 1):
        ids = 0
        for chunk in range(number_splits[row], number_splits[row + 1]):
            ids += ends[numbers[chunk]] - begins[numbers[chunk]]
        row_splits[row + 1] = row_splits[row] + ids


@compiled(types.void, _INT32S, _INT32S, _SPLITS, _SPLITS, _INT32)
def put_ids(numbers: np.ndarray, chunk_ids: np.ndarray, begins: np.ndarray, ends: np.ndarray, ids: np.ndarray) -> None:
    """Writes the ids of chunks.

    Args:
        numbers: int32, the chunks' numbers.
        chunk_ids: int32, the ids of all known chunks.
        begins, ends: int64, where the ids of each chunk are in `chunk_ids`, by number.
        ids: int32, output.
    """
    written = 0
    for number in numbers:
        for place in range(begins[number], ends[number]):
            ids[written] = chunk_ids[place]
            written += 1
