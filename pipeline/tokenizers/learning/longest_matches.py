"""Words cut into the longest matching pieces, from the left, while pieces are added and removed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.tokenizers.learning.substring_trie import SubstringTrie, Words

_CONTINUES = "##"
_NEVER = 1 << 20  # Tokens of a word that cannot be spelled.


def longest_matches(words: Words, alphabet: Sequence[str], vocabulary: Sequence[str]) -> np.ndarray:
    """Returns the length of the longest entry that begins at each place of the words.

    Args:
        words: the words.
        alphabet: their characters, sorted.
        vocabulary: the entries; those that continue a word begin with "##".

    Returns:
        int64 `[characters]`; 0 where no entry begins.
    """
    size, index = len(alphabet), {character: number for number, character in enumerate(alphabet)}
    entries = [(token.startswith(_CONTINUES), token.removeprefix(_CONTINUES)) for token in vocabulary]
    rows = [
        (inside, [index[character] for character in text])
        for inside, text in entries
        if text and all(character in index for character in text)
    ]
    matches = np.zeros(len(words.characters), np.int64)
    if not rows:
        return matches
    lengths = np.array([len(codes) for _, codes in rows])
    codes = np.zeros((len(rows), int(lengths.max())), np.int64)
    for row, (_, text) in enumerate(rows):
        codes[row, : len(text)] = text
    # States are the prefixes of entries, those of a character by form.
    states = codes[:, 0] + size * np.array([inside for inside, _ in rows], np.int64)
    ends = np.repeat(words.row_splits[1:], np.diff(words.row_splits))
    places = np.arange(len(words.characters))
    found = words.characters + size * words.inside()
    whole = np.zeros(2 * size, np.bool_)
    whole[states[lengths == 1]] = True
    matches[whole[found]] = 1
    for length in range(1, codes.shape[1]):
        longer = lengths > length
        keys, inverse = np.unique(states[longer] * size + codes[longer, length], return_inverse=True)
        codes, lengths, states = codes[longer], lengths[longer], inverse
        whole = np.zeros(len(keys), np.bool_)
        whole[states[lengths == length + 1]] = True
        goes_on = places + length < ends[places]
        places, found = places[goes_on], found[goes_on]
        wanted = found * size + words.characters[places + length]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = keys[at] == wanted
        places, found = places[known], at[known]
        matches[places[whole[found]]] = length + 1
    return matches


class CutWords:
    """Words cut by a vocabulary, and what pieces more or fewer would change.

    Args:
        words: the words.
        matches: the length of the longest entry that begins at each place, int64 `[characters]`.
    """

    def __init__(self, words: Words, matches: np.ndarray) -> None:
        self._words = words
        lengths = np.diff(words.row_splits)
        self._word_of = np.repeat(np.arange(len(lengths)), lengths)
        self._ends = words.row_splits[1:]
        self._first_matches, self._matches = matches, matches.copy()
        # Tokens from each place to the end of its word; and whether a piece begins there.
        self._costs = np.zeros(len(words.characters), np.int64)
        self._begins = np.zeros(len(words.characters), np.bool_)
        self._cut(np.arange(len(lengths)))

    def index(self, trie: SubstringTrie) -> None:
        """Takes the pieces that may be added or removed, and finds where each occurs."""
        self._trie = trie
        own = np.bincount(trie.deepest, minlength=len(trie.parent))
        totals = own.astype(np.float64)
        for level in reversed(trie.levels()[1:]):
            trie.add_to_parents(level, totals[level], totals)
        self._occurrences = totals.astype(np.int64)
        # Places are sorted by their deepest node, depth first: those of a node and of all below it lie together.
        first = np.zeros(len(own), np.int64)
        for number, level in enumerate(trie.levels()):
            before = np.cumsum(self._occurrences[level]) - self._occurrences[level]
            if number == 0:
                first[level] = before
                continue
            parents = trie.parent[level]
            eldest = np.searchsorted(parents, parents)  # The first of the siblings: nodes are ordered by their parents.
            first[level] = first[parents] + own[parents] + before - before[eldest]
        self._first = first
        self._places = np.argsort(first[trie.deepest], kind="stable")
        # Of each node that was added, a place where it is longer than the entries that there were.
        self._added: dict[int, int] = {}

    def tokens(self) -> int:
        """Returns the number of tokens of all words, each as often as it occurs; 1 of a word that is [UNK]."""
        return int(self.word_costs() @ self._words.counts)

    def word_costs(self) -> np.ndarray:
        """Returns the tokens of each word, int64 `[words]`; 1 of a word that is [UNK]."""
        costs = self._costs[self._words.row_splits[:-1]]
        return np.where(costs < _NEVER, costs, 1)

    def gains(self) -> np.ndarray:
        """Returns how many tokens each node of the trie would save as a piece, float64 `[nodes]`."""
        trie = self._trie
        gains = np.zeros(len(trie.parent))
        places = np.flatnonzero(self._begins)
        counts, nodes = self._words.counts[self._word_of[places]], trie.deepest[places]
        for level in reversed(trie.levels()[1:]):
            here = nodes >= level.start
            at, length = places[here], int(trie.length[level.start])
            saved = (self._costs[at] - 1 - self._costs_at(at, length)) * counts[here]
            saved[self._matches[at] >= length] = 0
            gains[level] = np.bincount(nodes[here] - level.start, weights=saved, minlength=level.stop - level.start)
            nodes[here] = trie.parent[nodes[here]]
        return gains

    def gain(self, node: int) -> float:
        """Returns how many tokens a node would save as a piece."""
        length = int(self._trie.length[node])
        places = self._where(node)
        places = places[self._begins[places] & (self._matches[places] < length)]
        saved = self._costs[places] - 1 - self._costs_at(places, length)
        return float(saved @ self._words.counts[self._word_of[places]])

    def loss(self, node: int) -> float:
        """Returns how many tokens more there were without a node that has been added."""
        places = self._used(node)
        more = self._costs_at(places, self._shorter(node)) - self._costs_at(places, int(self._trie.length[node]))
        return float(more @ self._words.counts[self._word_of[places]])

    def uses(self, node: int) -> int:
        """Returns how often a node that has been added is a token of the words."""
        return int(self._words.counts[self._word_of[self._used(node)]].sum())

    def add(self, node: int) -> None:
        """Makes a node a piece."""
        length = int(self._trie.length[node])
        places = self._where(node)
        places = places[self._matches[places] < length]
        self._added[node] = int(places[0])
        self._matches[places] = length
        self._cut(np.unique(self._word_of[places]))

    def remove(self, node: int) -> None:
        """Makes a node that has been added no piece any more."""
        places = self._where(node)
        places = places[self._matches[places] == self._trie.length[node]]
        self._matches[places] = self._shorter(node)
        del self._added[node]
        self._cut(np.unique(self._word_of[places]))

    def _shorter(self, node: int) -> int:
        """Returns the length of the longest piece that is a prefix of a node that has been added, itself apart."""
        # The same of the first entries wherever they are shorter than the node.
        longest = int(self._first_matches[self._added[node]])
        above = int(self._trie.parent[node])
        while above >= 0 and above not in self._added:
            above = int(self._trie.parent[above])
        return longest if above < 0 else max(longest, int(self._trie.length[above]))

    def _used(self, node: int) -> np.ndarray:
        """Returns the places where a piece is a token."""
        places = self._where(node)
        used: np.ndarray = places[self._begins[places] & (self._matches[places] == self._trie.length[node])]
        return used

    def _where(self, node: int) -> np.ndarray:
        places: np.ndarray = self._places[self._first[node] : self._first[node] + self._occurrences[node]]
        return places

    def _costs_at(self, places: np.ndarray, length: int | np.ndarray) -> np.ndarray:
        """Returns the tokens from so many characters behind each place to the end of its word."""
        behind = places + length
        ends = self._ends[self._word_of[places]]
        costs: np.ndarray = np.where(behind < ends, self._costs[np.minimum(behind, len(self._costs) - 1)], 0)
        return costs

    def _cut(self, words: np.ndarray) -> None:
        """Cuts some words anew."""
        starts, ends = self._words.row_splits[words], self._ends[words]
        places = ends - 1
        while len(places):
            lengths = self._matches[places]
            costs = 1 + self._costs_at(places, lengths)
            self._costs[places] = np.where(lengths > 0, np.minimum(costs, _NEVER), _NEVER)
            places = places - 1
            inside = places >= starts
            places, starts = places[inside], starts[inside]
        starts = self._words.row_splits[words]
        longest = int((ends - starts).max(initial=0))
        for offset in range(longest):
            self._begins[(starts + offset)[starts + offset < ends]] = False
        spelled = self._costs[starts] < _NEVER  # A word that is [UNK] has no pieces.
        places, ends = starts[spelled], ends[spelled]
        while len(places):
            self._begins[places] = True
            places = places + self._matches[places]
            inside = places < ends
            places, ends = places[inside], ends[inside]
