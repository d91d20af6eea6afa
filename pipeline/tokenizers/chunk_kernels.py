"""Inner loops of WordPiece, compiled: cutting text into chunks, numbering these, cutting words into pieces."""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import compiled, inlined, read_only

PART, SPACE, LONE = 0, 1, 2
"""What a character is: part of a chunk; between chunks; a chunk by itself."""

_BYTES, _UINT8, _INT64 = read_only(types.uint8), types.uint8[::1], types.int64[::1]
_SPLITS, _INT32, _INT32S = read_only(types.int64), types.int32[::1], read_only(types.int32)
_UINT64 = types.uint64[::1]
_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, Fowler, Noll and Vo.


@inlined
def _next_character(data: np.ndarray, place: int, classes: np.ndarray) -> tuple[np.int64, int]:
    """The class of the character at `place` of UTF-8, and the bytes that it takes."""
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
    """Cuts rows of text into chunks and looks up the number of each, new ones getting the next.

    Args:
        data: uint8, UTF-8.
        row_splits: int64 `[rows + 1]`, over the bytes.
        classes: uint8: by code point, what a character is; what is not there is part of a chunk.
        slots: int32, a power of two of them, twice as many as `hashes`: the numbers by hash, -1 where there is none.
        hashes: uint64, by number.
        key_splits: int64, where each chunk begins in `keys`, and the last ends.
        keys: uint8, the bytes of the chunks.
        state: int64 `[4]`: the byte and the row to go on with, how many numbers were written and how many chunks are
            known; all brought up to date.
        numbers: int32, to write the numbers to, row after row.
        number_splits: int64 `[rows + 1]`, to be written to.

    Returns:
        Whether all is done; if not, there was no room for a new chunk.
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
    """Puts the numbers from 0 to `known` into slots, all of which are -1; see `number_chunks`."""
    mask = np.uint64(len(slots) - 1)
    for number in range(known):
        slot = hashes[number] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = number


@compiled(types.void, _BYTES, _SPLITS, _BYTES, _INT32)
def fill_pieces(tokens: np.ndarray, token_splits: np.ndarray, goes_on: np.ndarray, slots: np.ndarray) -> None:
    """Puts the entries of a vocabulary into slots by their hash.

    Args:
        tokens: uint8, UTF-8, one behind the other; without what marks those that go on with a word.
        token_splits: int64 `[entries + 1]`; an empty one is never met.
        goes_on: uint8 `[entries]`: 1 for an entry that goes on with a word.
        slots: int32, -1, a power of two of them and at least twice the entries.
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
    """Cuts words into the longest pieces there are, from the left; a word that does not come out even is unknown.

    Args:
        words: uint8, UTF-8, one behind the other.
        word_splits: int64 `[words + 1]`.
        tokens, token_splits, goes_on, slots: the vocabulary, see `fill_pieces`.
        longest: bytes of the longest entry.
        most_chars: longer words are unknown.
        unknown: the id of such words.
        ids: int32 `[bytes of the words or more]`, to be written to.
        id_splits: int64 `[words + 1]`, to be written to.

    Returns:
        How many ids there are.
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
    """Writes the ids of the chunks of rows, one after another.

    Args:
        numbers: int32, the chunks' numbers.
        number_splits: int64 `[rows + 1]`, over them.
        chunk_ids: int32, the ids of all chunks, by number.
        chunk_splits: int64, over them.
        ids: int32, to be written to.
        row_splits: int64 `[rows + 1]`, zeros, to be written to.
    """
    written = 0
    for row in range(len(number_splits) - 1):
        for chunk in range(number_splits[row], number_splits[row + 1]):
            number = numbers[chunk]
            for place in range(chunk_splits[number], chunk_splits[number + 1]):
                ids[written] = chunk_ids[place]
                written += 1
        row_splits[row + 1] = written
