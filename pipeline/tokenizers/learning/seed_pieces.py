"""Finds the seed pieces from which a unigram model is pruned: the frequent substrings of words.

SentencePiece's trainer can find them itself, but ignores the counts of words (see its `MakeSeedSentencePieces`): each
word would count twice, and "the" no more than a word that occurs once. So it is given counted seed pieces instead.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.tokenizers.learning.substring_trie import SubstringTrie, Words, build_trie

_EDGE = "\0"  # Put before each word, so that substrings at its start and inside it count alike.


def seed_pieces(word_counts: Mapping[str, int], *, max_length: int, limit: int) -> list[tuple[str, int]]:
    """Finds the substrings that cover the most text, with their numbers of occurrences.

    As in SentencePiece, substrings occur at least twice, have at least two characters, and are not always followed by
    the same character; the `limit` with the largest product of frequency and length are kept.

    Args:
        word_counts: how often each word occurs.
        max_length: maximum characters of a substring.
        limit: maximum number of substrings.

    Returns:
        A list that does not depend on the order of the words.
    """
    texts = sorted(word_counts)
    lengths = np.array([len(text) + 1 for text in texts], np.int64)
    codes = np.frombuffer("".join(_EDGE + text for text in texts).encode("utf-32-le"), np.uint32)
    alphabet, characters = np.unique(codes, return_inverse=True)
    counts = np.array([word_counts[text] for text in texts], np.float64)
    words = Words(characters, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), counts)
    trie = build_trie(words, alphabet_size=len(alphabet), min_count=2, max_length=max_length)
    totals = np.bincount(trie.deepest, weights=np.repeat(counts, lengths), minlength=len(trie.parent))
    for level in reversed(trie.levels()[1:]):
        trie.add_to_parents(level, totals[level], totals)
    most_frequent_longer = np.zeros_like(totals)
    longer = trie.parent >= 0
    np.maximum.at(most_frequent_longer, trie.parent[longer], totals[longer])
    wanted = np.flatnonzero((trie.length > 1) & (totals > most_frequent_longer))
    order = wanted[np.argsort(-totals[wanted] * trie.length[wanted], kind="stable")]
    pieces = ((_text(trie, node, alphabet), int(totals[node])) for node in order[:limit].tolist())
    return [(text, count) for text, count in pieces if not text.startswith(_EDGE)]


def _text(trie: SubstringTrie, node: int, alphabet: np.ndarray) -> str:
    codes = []
    while node >= 0:
        codes.append(alphabet[trie.character[node]])
        node = trie.parent[node]
    return "".join(map(chr, reversed(codes)))
