"""Compiled inner loops of WordPiece, which cut text into chunks, number the chunks, and cut words into pieces."""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import compiled, inlined, read_only

PART, SPACE, LONE = 0, 1, 2
"""Classes of characters: part of a chunk; between chunks; a chunk by itself."""

_BYTES, _UINT8, _INT64 = read_only(types.uint8), types.uint8[::1], types.int64[::1]
_SPLITS, _INT32, _INT32S = read_only(types.int64), types.int32[::1], read_only(types.int32)
_UINT64 = types.uint64[::1]
_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, Fowler, Noll and Vo.


@inlined
def _next_character(data: np.ndarray, place: int, classes: np.ndarray) -> tuple[np.int64, int]:
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


@compiled(types.boolean, _BYTES, _SPLITS, _BYTES, _INT32, _UINT64, _INT64, _UINT8, _INT64, _INT32, _INT64)
def number_chunks(
    data: np.ndarray,
    row_splits: np.ndarray,
    classes: np.ndarray,
    slots: np.ndarray,
    hashes: np.ndarray,
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
        slots: int32, a hash table of numbers, -1 where empty; its size is a power of two, twice that of `hashes`.
        hashes: uint64, by number.
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
    mask = np.uint64(len(slots) - 1)
    while row < len(row_splits) - 1:
        row_end = row_splits[row + 1]
        while place < row_end:
            kind, width = _next_character(data, place, classes)
            if kind == SPACE:
                place += width
                continue
            end = place + width
            while kind == PART and end < row_end:
                kind, width = _next_character(data, end, classes)
                if kind == PART:
                    end += width
            hashed = _SEED
            for byte in range(place, end):
                hashed = (hashed ^ np.uint64(data[byte])) * _PRIME
            hashed = _mixed(hashed)
            slot = hashed & mask
            while True:
                number = slots[slot]
                if number < 0:
                    if known == len(hashes) or key_splits[known] + end - place > len(keys):
                        state[0], state[1], state[2], state[3] = place, row, written, known
                        return False
                    number = known
                    slots[slot] = number
                    hashes[number] = hashed
                    begin = key_splits[number]
                    for byte in range(end - place):
                        keys[begin + byte] = data[place + byte]
                    known += 1
                    key_splits[known] = begin + end - place
                    break
                begin = key_splits[number]
                if hashes[number] == hashed and key_splits[number + 1] - begin == end - place:
                    same = True
                    for byte in range(end - place):
                        if keys[begin + byte] != data[place + byte]:
                            same = False
                            break
                    if same:
                        break
                slot = (slot + np.uint64(1)) & mask
            numbers[written] = number
            written += 1
            place = end
        row += 1
        number_splits[row] = written
    state[0], state[1], state[2], state[3] = place, row, written, known
    return True


@compiled(types.void, _UINT64, types.int64, _INT32)
def fill_slots(hashes: np.ndarray, known: int, slots: np.ndarray) -> None:
    """Inserts the numbers 0 to `known - 1` into `slots`, which are all -1; see `number_chunks`."""
    mask = np.uint64(len(slots) - 1)
    for number in range(known):
        slot = hashes[number] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = number


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


@compiled(types.void, _INT32S, _SPLITS, _INT32S, _SPLITS, _INT32, _INT64)
def put_ids(
    numbers: np.ndarray,
    number_splits: np.ndarray,
    chunk_ids: np.ndarray,
    chunk_splits: np.ndarray,
    ids: np.ndarray,
    row_splits: np.ndarray,
) -> None:
    """Writes the ids of the chunks of each row.

    Args:
        numbers: int32, the chunks' numbers.
        number_splits: int64 `[rows + 1]`, over `numbers`.
        chunk_ids: int32, the ids of all known chunks, by number.
        chunk_splits: int64, over `chunk_ids`.
        ids: int32, output.
        row_splits: int64 `[rows + 1]`, output; must be zeros.
    """
    written = 0
    for row in range(len(number_splits) - 1):
        for chunk in range(number_splits[row], number_splits[row + 1]):
            number = numbers[chunk]
            for place in range(chunk_splits[number], chunk_splits[number + 1]):
                ids[written] = chunk_ids[place]
                written += 1
        row_splits[row + 1] = written
