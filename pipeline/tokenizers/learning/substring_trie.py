"""A trie of the frequent substrings of many words, in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Words(NamedTuple):
    """Distinct words and their counts, as columns.

    Attributes:
        characters: int64 `[characters]`, word by word; each is an index into the alphabet.
        row_splits: int64 `[words + 1]`; word i is `characters[row_splits[i]:row_splits[i + 1]]`, never empty.
        counts: float64 `[words]`; whole numbers, exact up to 2**53.
    """

    characters: np.ndarray
    row_splits: np.ndarray
    counts: np.ndarray

    def inside(self) -> np.ndarray:
        """Returns which characters do not start a word: bool `[characters]`."""
        inside = np.ones(len(self.characters), np.bool_)
        inside[self.row_splits[:-1]] = False
        return inside


class SubstringTrie(NamedTuple):
    """A trie with a node for each frequent substring, ordered by length.

    A substring has separate nodes for the start of a word and for further inside, as "run" and "##run" are different
    pieces. Nodes of one character exist whatever their count, those that start a word first.

    Attributes:
        level_splits: int64 `[levels + 1]`; the nodes of d characters are `level_splits[d - 1]:level_splits[d]`.
        parent: int64 `[nodes]`, the node of all characters but the last; -1 for nodes of one character.
        character: int64 `[nodes]`, the last character.
        length: int64 `[nodes]`, in characters.
        deepest: int64 `[characters]`, the longest node that starts at each place in the words.
    """

    level_splits: np.ndarray
    parent: np.ndarray
    character: np.ndarray
    length: np.ndarray
    deepest: np.ndarray

    def levels(self) -> list[slice]:
        """Returns the nodes of each length, shortest first."""
        return [slice(*pair) for pair in zip(self.level_splits[:-1], self.level_splits[1:], strict=True)]

    def add_to_parents(self, level: slice, weights: np.ndarray, totals: np.ndarray) -> None:
        """Adds the weight of each node of a level, `[nodes of the level]`, to its parent in `totals`, `[nodes]`."""
        parents = self.parent[level]
        first, last = parents[0], parents[-1] + 1  # Nodes are ordered by their parents.
        totals[first:last] += np.bincount(parents - first, weights=weights)

    def text(self, node: int, alphabet: Sequence[str]) -> str:
        """Returns the piece of a node: "##" and its characters if it is inside a word."""
        codes = []
        while node >= 0:
            codes.append(self.character[node])
            first, node = node, self.parent[node]
        starts_word = first < len(alphabet)
        return ("" if starts_word else "##") + "".join(alphabet[code] for code in reversed(codes))


def build_trie(words: Words, *, alphabet_size: int, min_count: float, max_length: int) -> SubstringTrie:
    """Finds all substrings of at most `max_length` characters that occur at least `min_count` times."""
    characters, row_splits = words.characters, words.row_splits
    lengths = np.diff(row_splits)
    counts = np.repeat(words.counts, lengths)
    ends = np.repeat(row_splits[1:], lengths)
    deepest = characters + alphabet_size * words.inside()
    parents = [np.full(2 * alphabet_size, -1, np.int64)]
    last_characters = [np.tile(np.arange(alphabet_size), 2)]
    places = np.arange(len(characters))
    first = 2 * alphabet_size
    for length in range(1, max_length):
        # A substring can be frequent only if it is frequent without its last character, so only those are extended.
        places = places[places + length < ends[places]]
        keys, inverse = np.unique(deepest[places] * alphabet_size + characters[places + length], return_inverse=True)
        frequent = np.bincount(inverse, weights=counts[places], minlength=len(keys)) >= min_count
        if not frequent.any():
            break
        nodes = np.where(frequent, np.cumsum(frequent) - 1 + first, -1)[inverse]
        places = places[nodes >= 0]
        deepest[places] = nodes[nodes >= 0]
        parents.append(keys[frequent] // alphabet_size)
        last_characters.append(keys[frequent] % alphabet_size)
        first += int(frequent.sum())
    sizes = [len(level) for level in parents]
    return SubstringTrie(
        level_splits=np.concatenate([[0], np.cumsum(sizes)]),
        parent=np.concatenate(parents),
        character=np.concatenate(last_characters),
        length=np.repeat(np.arange(1, len(sizes) + 1), sizes),
        deepest=deepest,
    )
