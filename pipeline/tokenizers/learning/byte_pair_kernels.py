"""The compiled loop that learns byte pairs: merges the most frequent pair of tokens in all words, again and again."""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.compiling import called, compiled

_INT32, _INT64 = types.int32[::1], types.int64[::1]
_PAIRS = types.int32[:, ::1]


@called
def _room(array: np.ndarray, used: int) -> np.ndarray:
    """Returns the array with room for at least one entry more."""
    if used < len(array):
        return array
    larger = np.zeros(2 * len(array), array.dtype)
    larger[:used] = array[:used]
    return larger


@called
def _hashed(key: np.int64) -> np.int64:
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(0x7FFFFFFFFFFFFFFF))


@called
def _slot(slots: np.ndarray, keys: np.ndarray, key: np.int64) -> np.int64:
    """Returns the slot of a pair in the table, or the empty one where it belongs; slots hold a number plus 1."""
    place = _hashed(key) % len(slots)
    while slots[place] and keys[slots[place] - 1] != key:
        place = (place + 1) % len(slots)
    return place


@called
def _comes_first(count: int, key: int, other_count: int, other_key: int) -> bool:
    """Returns whether a pair is merged before another: the more frequent, or else the one of the lower ids."""
    return count > other_count or (count == other_count and key < other_key)


@called
def _push(counts: np.ndarray, pairs: np.ndarray, size: int, keys: np.ndarray, count: int, pair: int) -> None:
    """Adds an entry to a heap that has room for it."""
    place = size
    while place:
        parent = (place - 1) // 2
        if not _comes_first(count, keys[pair], counts[parent], keys[pairs[parent]]):
            break
        counts[place], pairs[place] = counts[parent], pairs[parent]
        place = parent
    counts[place], pairs[place] = count, pair


@called
def _pop(counts: np.ndarray, pairs: np.ndarray, size: int, keys: np.ndarray) -> None:
    """Removes the first entry of a heap."""
    count, pair, last, place = counts[size - 1], pairs[size - 1], size - 1, 0
    while 2 * place + 1 < last:
        child = 2 * place + 1
        right = child + 1
        if right < last and _comes_first(counts[right], keys[pairs[right]], counts[child], keys[pairs[child]]):
            child = right
        if not _comes_first(counts[child], keys[pairs[child]], count, keys[pair]):
            break
        counts[place], pairs[place] = counts[child], pairs[child]
        place = child
    counts[place], pairs[place] = count, pair


@called
def _text_hash(texts: np.ndarray, begin: int, end: int) -> np.int64:
    code = np.int64(end - begin)
    for place in range(begin, end):
        code = _hashed(code * np.int64(257) + np.int64(texts[place]) + np.int64(1))
    return code


@compiled(types.void, _INT32, _INT64, _INT64)
def hash_texts(texts: np.ndarray, splits: np.ndarray, hashes: np.ndarray) -> None:
    """Computes the hashes of texts, by which `learn_merges` bars them.

    Args:
        texts: int32 `[characters]`.
        splits: int64 `[texts + 1]`: where each begins and ends.
        hashes: int64 `[texts]`: gets the hashes.
    """
    for number in range(len(hashes)):
        hashes[number] = _text_hash(texts, splits[number], splits[number + 1])


@called
def _is_among(hashes: np.ndarray, code: np.int64) -> bool:
    """Returns whether a sorted array holds a value."""
    low, high = 0, len(hashes)
    while low < high:
        middle = (low + high) // 2
        if hashes[middle] < code:
            low = middle + 1
        else:
            high = middle
    return low < len(hashes) and bool(hashes[low] == code)


@called
def _same_text(texts: np.ndarray, splits: np.ndarray, token: int, begin: int, end: int) -> bool:
    if splits[token + 1] - splits[token] != end - begin:
        return False
    for offset in range(end - begin):  # noqa: SIM110 -- Numba compiles a loop faster than a generator.
        if texts[splits[token] + offset] != texts[begin + offset]:
            return False
    return True


@compiled(types.int64, _INT32, _INT64, _INT64, _INT32, _INT64, _INT64, types.int64, types.int64, _PAIRS)
def learn_merges(
    symbols: np.ndarray,
    row_splits: np.ndarray,
    word_counts: np.ndarray,
    first_texts: np.ndarray,
    first_splits: np.ndarray,
    barred: np.ndarray,
    wanted: int,
    min_count: int,
    merges: np.ndarray,
) -> int:
    """Learns merges (Sennrich et al., 2016), with the order and the ties of Hugging Face's `BpeTrainer`.

    Args:
        symbols: int32 `[symbols]`, the words: numbers of the alphabet. They become the tokens after all merges, with -1
            behind those of a word.
        row_splits: int64 `[words + 1]`: word i holds `symbols[row_splits[i]:row_splits[i + 1]]`.
        word_counts: int64 `[words]`.
        first_texts: int32 `[characters]`, the texts of the alphabet; no two are the same.
        first_splits: int64 `[alphabet + 1]`: where each begins and ends.
        barred: int64, sorted: the hashes of texts that no merge may make, as `hash_texts` computes them.
        wanted: number of tokens to make, at least 1.
        min_count: minimum number of occurrences of a pair.
        merges: int32 `[limit, 2]`: gets the pairs in the order of their merges. The token of a merge has the next free
            number, unless an earlier merge made a token of the same text. There are at most `limit` merges.

    Returns:
        The number of merges.
    """
    # === Pairs: a hash table; each has a count and a list of the words that it occurs, or did occur, in. ===
    slots = np.zeros(1 << 16, np.int64)
    keys = np.zeros(1 << 12, np.int64)
    counts, heads = np.zeros(1 << 12, np.int64), np.zeros(1 << 12, np.int64)
    is_touched = np.zeros(1 << 12, np.bool_)
    known = 0
    node_words, node_next = np.zeros(len(symbols) + 1, np.int32), np.zeros(len(symbols) + 1, np.int64)
    nodes = 1  # Node 0 ends a list.
    touched = np.zeros(1 << 12, np.int64)
    touched_size = 0
    heap_counts, heap_pairs = np.zeros(1 << 12, np.int64), np.zeros(1 << 12, np.int64)
    heap_size = 0
    # === Tokens: their texts, as symbols; and a hash table of these. ===
    alphabet_size = len(first_splits) - 1
    texts = np.zeros(len(first_texts) + (1 << 12), np.int32)
    text_splits = np.zeros(alphabet_size + wanted + 2, np.int64)
    for offset in range(len(first_texts)):
        texts[offset] = first_texts[offset]
    for symbol in range(alphabet_size + 1):
        text_splits[symbol] = first_splits[symbol]
    token_slots = np.zeros(4 * (alphabet_size + wanted) + 64, np.int64)
    token_hashes = np.zeros(alphabet_size + wanted + 1, np.int64)
    tokens = alphabet_size

    lengths = np.diff(row_splits)
    # Changes of counts, of which the first pass over the words is one: left, right, count, word.
    made = 0
    left = right = token = np.int64(-1)  # The pair that is being merged, and what it becomes.
    node = np.int64(0)
    word = np.int64(-1)
    while True:
        # The next word: any, the first time; then those of the pair.
        if left < 0:
            word += 1
            done = word == len(word_counts)
        else:
            done = node == 0
            if not done:
                word = np.int64(node_words[node])
                node = node_next[node]
        if not done:
            begin, length, count = row_splits[word], lengths[word], word_counts[word]
            written = begin
            place = begin
            end = begin + length
            while place < end:
                if left < 0:
                    changes = np.int64(1) if place + 1 < end else np.int64(0)
                    merged = False
                else:
                    merged = place + 1 < end and symbols[place] == left and symbols[place + 1] == right
                    changes = np.int64(4) if merged else np.int64(0)
                for change in range(changes):
                    if left < 0:
                        first, second, sign = np.int64(symbols[place]), np.int64(symbols[place + 1]), 1
                    elif change < 2:  # The token before it.
                        if written == begin:
                            continue
                        first, sign = np.int64(symbols[written - 1]), 2 * change - 1
                        second = left if change == 0 else token
                    else:
                        if place + 2 >= end:
                            continue
                        second, sign = np.int64(symbols[place + 2]), 2 * (change - 2) - 1
                        first = right if change == 2 else token
                    key = first << np.int64(32) | second
                    slot = _slot(slots, keys, key)
                    if slots[slot] == 0:
                        if sign < 0:
                            continue
                        keys, heads = _room(keys, known), _room(heads, known)
                        counts, is_touched = _room(counts, known), _room(is_touched, known)
                        keys[known] = key
                        known += 1
                        slots[slot] = known
                        if 2 * known > len(slots):
                            slots = np.zeros(2 * len(slots), np.int64)
                            for number in range(known):
                                slots[_slot(slots, keys, keys[number])] = number + 1
                        pair = known - 1
                    else:
                        pair = slots[slot] - 1
                    counts[pair] += sign * count
                    if sign > 0:
                        if not is_touched[pair]:
                            is_touched[pair] = True
                            touched = _room(touched, touched_size)
                            touched[touched_size] = pair
                            touched_size += 1
                        if heads[pair] == 0 or node_words[heads[pair]] != word:
                            node_words, node_next = _room(node_words, nodes), _room(node_next, nodes)
                            node_words[nodes], node_next[nodes] = word, heads[pair]
                            heads[pair] = nodes
                            nodes += 1
                if merged:
                    symbols[written] = token
                    place += 2
                else:
                    symbols[written] = symbols[place]
                    place += 1
                written += 1
            lengths[word] = written - begin
            continue
        # All words of the pair are changed: what became more frequent gets its new place in the heap.
        for number in range(touched_size):
            pair = touched[number]
            is_touched[pair] = False
            if counts[pair] > 0:
                heap_counts, heap_pairs = _room(heap_counts, heap_size), _room(heap_pairs, heap_size)
                _push(heap_counts, heap_pairs, heap_size, keys, counts[pair], pair)
                heap_size += 1
        touched_size = 0
        # The most frequent pair that may be merged. A count in the heap may be out of date, but then it is too high.
        chosen = np.int64(-1)
        start = text_splits[tokens]
        length, code = np.int64(0), np.int64(0)
        while heap_size and tokens < alphabet_size + wanted and made < len(merges):
            candidate, stated = heap_pairs[0], heap_counts[0]
            _pop(heap_counts, heap_pairs, heap_size, keys)
            heap_size -= 1
            if stated != counts[candidate]:
                if counts[candidate] > 0:
                    _push(heap_counts, heap_pairs, heap_size, keys, counts[candidate], candidate)
                    heap_size += 1
                continue
            if stated < max(min_count, 1):
                break
            left, right = keys[candidate] >> np.int64(32), keys[candidate] & np.int64(0xFFFFFFFF)
            length = text_splits[left + 1] - text_splits[left] + text_splits[right + 1] - text_splits[right]
            while start + length >= len(texts):
                texts = _room(texts, len(texts))
            place = start
            for part in (left, right):
                for offset in range(text_splits[part], text_splits[part + 1]):
                    texts[place] = texts[offset]
                    place += 1
            code = _text_hash(texts, start, start + length)
            if _is_among(barred, code):
                continue
            chosen = candidate
            break
        if chosen < 0:
            for number in range(len(word_counts)):
                for behind in range(row_splits[number] + lengths[number], row_splits[number + 1]):
                    symbols[behind] = -1
            return made
        merges[made, 0], merges[made, 1] = left, right
        made += 1
        counts[chosen] = 0
        node, heads[chosen] = heads[chosen], 0
        # Its token: that of the same text, or a new one.
        place = code % len(token_slots)
        token = np.int64(-1)
        while token_slots[place]:
            other = token_slots[place] - 1
            if token_hashes[other] == code and _same_text(texts, text_splits, other, start, start + length):
                token = other
                break
            place = (place + 1) % len(token_slots)
        if token < 0:
            token = np.int64(tokens)
            token_slots[place], token_hashes[tokens] = tokens + 1, code
            tokens += 1
            text_splits[tokens] = start + length
