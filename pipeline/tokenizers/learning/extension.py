"""Chooses the words and pieces that a WordPiece vocabulary lacks for a text.

A piece is worth the tokens that it saves. Under BERT's longest-match-first way of cutting words, this can be computed
exactly: where a piece of length n is matched at place p of a word, in which the present vocabulary needs `cost[p]`
tokens from there to the end, it leaves `1 + cost[p + n]`. The piece that saves most is added, the words that hold it
are cut anew, and so on, as in the greedy algorithm for covering problems. Most gains only shrink as pieces are added,
so an old gain is a bound, and few must be computed again for each choice (Minoux, 1978, "Accelerated greedy algorithms
for maximizing submodular set functions"). The gains of all are computed anew now and then, as cutting words from the
left is not exactly submodular.

Pieces that later ones made worth less than those that are still to be had are given up at the end, for these.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.errors import VocabularyError
from pipeline.tokenizers.learning.longest_matches import CutWords, longest_matches
from pipeline.tokenizers.learning.substring_trie import Words, build_trie
from pipeline.tokenizers.pieces import MAX_WORD_CHARS

_MAX_PIECE_CHARS = 50
_ROUNDS = 8  # In which the gains of all pieces are computed.
_EXCHANGES = 2
# A piece that saves more tokens than these where it stands is found only if it is as frequent as if it saved these.
_MOST_SAVED = 10
_CONTINUES = "##"


class Extension(NamedTuple):
    """Entries to add to a vocabulary.

    Attributes:
        tokens: the entries, characters first, then the pieces that save most tokens.
        characters: how many of them are single characters that the vocabulary could not spell.
        saved: how many tokens fewer the words have by the others.
    """

    tokens: list[str]
    characters: int
    saved: int


def choose_extension(
    word_counts: Mapping[str, int],
    vocabulary: Sequence[str],
    *,
    add: int,
    character_coverage: float = 0.99999,
    min_count: int = 2,
) -> Extension:
    """Chooses what to add to a vocabulary; the same counts give the same entries, in any order.

    Args:
        word_counts: how often each word occurs; words normalised and split as by BERT.
        vocabulary: the entries that there are; those that continue a word begin with "##".
        add: maximum number of entries to add.
        character_coverage: share of all characters that must be spelled, in (0, 1]; missing ones are added first, the
            most frequent first.
        min_count: minimum number of occurrences of an added entry.

    Returns:
        The entries; fewer than `add` if no others save a token.

    Raises:
        VocabularyError: if there are no words.
    """
    texts = sorted(word for word, count in word_counts.items() if count > 0 and 0 < len(word) <= MAX_WORD_CHARS)
    if not texts:
        raise VocabularyError(
            "The text must contain words to extend the vocabulary with",
            received="none",
            do="Check that the input contains text",
        )
    words, alphabet = _columns(texts, np.array([word_counts[text] for text in texts], np.float64))
    matches = longest_matches(words, alphabet, vocabulary)
    characters = _missing_characters(words, alphabet, matches, add, character_coverage, min_count)
    if characters:
        matches = longest_matches(words, alphabet, [*vocabulary, *characters])
    pieces, saved = _choose_pieces(words, alphabet, matches, add - len(characters), min_count)
    return Extension([*characters, *pieces], len(characters), saved)


def _columns(texts: Sequence[str], counts: np.ndarray) -> tuple[Words, list[str]]:
    """Returns the words as columns, and their characters, sorted."""
    lengths = np.array([len(text) for text in texts], np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    alphabet, characters = np.unique(codes, return_inverse=True)
    row_splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return Words(characters.astype(np.int64), row_splits, counts), [chr(code) for code in alphabet.tolist()]


def _missing_characters(
    words: Words, alphabet: Sequence[str], matches: np.ndarray, add: int, coverage: float, min_count: int
) -> list[str]:
    """Returns the characters at which no entry begins, as the start of a word or within it, the most frequent first."""
    counts = np.repeat(words.counts, np.diff(words.row_splits))
    forms = words.characters + len(alphabet) * words.inside()
    missing = np.bincount(forms, weights=np.where(matches == 0, counts, 0.0), minlength=2 * len(alphabet))
    order = np.argsort(-missing, kind="stable")
    behind = missing.sum() - (np.cumsum(missing[order]) - missing[order])  # What is not spelled before this one.
    wanted = (missing[order] >= max(1, min_count)) & (behind > (1 - coverage) * counts.sum())
    return [
        (_CONTINUES if form >= len(alphabet) else "") + alphabet[form % len(alphabet)]
        for form in order[wanted][:add].tolist()
    ]


def _choose_pieces(
    words: Words, alphabet: Sequence[str], matches: np.ndarray, wanted: int, min_count: int
) -> tuple[list[str], int]:
    """Chooses at most `wanted` pieces of two characters or more, those that save most first; and what they save."""
    cut = CutWords(words, matches)
    tokens = cut.tokens()
    if wanted <= 0:
        return [], 0
    trie = build_trie(
        words,
        alphabet_size=len(alphabet),
        min_count=max(min_count, _least_gain(words, cut, wanted) / _MOST_SAVED),
        max_length=_MAX_PIECE_CHARS,
    )
    cut.index(trie)
    chosen: list[int] = []
    least = 0.0
    for _ in range(1 + _EXCHANGES):
        least = _grow(cut, chosen, wanted)
        if not _give_up(cut, chosen, least, min_count):
            break
    else:
        _grow(cut, chosen, wanted)
    while _give_up(cut, chosen, 1.0, min_count):
        pass
    losses = {node: cut.loss(node) for node in chosen}
    chosen.sort(key=lambda node: (-losses[node], node))
    return [trie.text(node, alphabet) for node in chosen], int(tokens - cut.tokens())


def _least_gain(words: Words, cut: CutWords, wanted: int) -> float:
    """Returns a gain that `wanted` entries have in any case: whole words."""
    gains = np.sort((cut.word_costs() - 1) * words.counts)
    return float(max(0.0, gains[-wanted])) if len(gains) >= wanted else 0.0


def _give_up(cut: CutWords, chosen: list[int], least: float, min_count: int) -> bool:
    """Removes those of `chosen` that save less than `least` tokens or are too rare; returns whether there were any."""
    given_up = [node for node in chosen if cut.loss(node) < max(least, 1.0) or cut.uses(node) < min_count]
    for node in given_up:
        cut.remove(node)
        chosen.remove(node)
    return bool(given_up)


def _grow(cut: CutWords, chosen: list[int], wanted: int) -> float:
    """Adds pieces to `chosen`, until these are `wanted`; returns the gain of the last, 0 if there are no more."""
    gain = 0.0
    at_once = max(16, (wanted - len(chosen) + _ROUNDS - 1) // _ROUNDS)
    while len(chosen) < wanted:
        gains = cut.gains()
        candidates = np.flatnonzero(gains > 0)
        if not len(candidates):
            return 0.0
        best = candidates[np.argsort(-gains[candidates], kind="stable")][: 8 * at_once]
        bounds = [(-gains[node], int(node)) for node in best.tolist()]  # Sorted, hence a heap.
        before = len(chosen)
        while bounds and len(chosen) < min(before + at_once, wanted):
            _, node = heapq.heappop(bounds)
            now = cut.gain(node)
            if now <= 0:
                continue
            if bounds and (-now, node) > bounds[0]:
                heapq.heappush(bounds, (-now, node))
                continue
            cut.add(node)
            chosen.append(node)
            gain = now
        if len(chosen) == before:
            return 0.0
    return gain
