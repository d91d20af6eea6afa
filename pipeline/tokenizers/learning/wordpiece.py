"""Learns a WordPiece vocabulary from the counts of words.

The algorithm is the top-down one that Google publishes as BERT's (tensorflow-text's tutorial "Subword tokenizers" and
its `wordpiece_tokenizer_learner_lib`), which chooses pieces for BERT's longest-match-first way of cutting words:

1. Cut each word into pieces; at first, into characters.
2. Count all substrings that start where a piece starts.
3. From the longest to the shortest, keep those that occur often enough, and subtract their counts from their prefixes.
4. Cut the words again, into the pieces kept, and repeat.

It is implemented here over arrays, because neither available library suffices (bench/wordpiece_learners.py compares
them). tensorflow-text's needs a minute for 20,000 words, misses the requested size by some per cent, and subtracts from
prefixes even substrings that it does not keep (https://github.com/tensorflow/text/issues/583): 0.4 to 3 % more tokens
on held-out text. Hugging Face's trainer merges pairs as byte-pair encoding does: 0.6 to 1.6 % more tokens. Its result
may differ between runs (https://github.com/huggingface/tokenizers/issues/1794), and it does not take word counts.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.errors import VocabularyError
from pipeline.tokenizers.learning.substring_trie import SubstringTrie, Words, build_trie
from pipeline.tokenizers.normalizer import is_cjk, is_punctuation
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS

_ITERATIONS = 4  # As in Google's; more do not improve results on held-out text.
_MAX_PIECE_CHARS = 50  # As in Google's; the longest piece of BERT's own vocabulary has 18.

_log = logging.getLogger(__name__)


def learn_wordpiece(
    word_counts: Mapping[str, int],
    *,
    vocab_size: int,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    unused_tokens: int = 0,
    character_coverage: float = 0.99999,
    min_count: int = 2,
) -> list[str]:
    """Learns a vocabulary; the same counts give the same vocabulary, in any order.

    Args:
        word_counts: how often each word occurs; words normalised and split as by BERT.
        vocab_size: number of entries.
        special_tokens: the first entries, in this order.
        unused_tokens: number of placeholders, "[unused0]" and so on, that follow.
        character_coverage: share of all characters that the vocabulary must be able to spell, in (0, 1]: the rarest
            are left out, and words that contain them become [UNK].
        min_count: minimum number of occurrences; rarer pieces are left out, even if there is room for them.

    Returns:
        The vocabulary by id: special tokens, unused tokens, the characters that can start a word, those that can
        continue one ("##e"), then pieces, the most frequent first. It has `vocab_size` entries, or fewer (and a warning
        is logged) if too few pieces occur `min_count` times.

    Raises:
        VocabularyError: if there are no words, if words are not split as by BERT, or if `vocab_size` is too small for
            the characters.
    """
    words, alphabet = _columns(word_counts, character_coverage)
    continuing = _continuing(words, alphabet)
    first = [
        *special_tokens,
        *(f"[unused{i}]" for i in range(unused_tokens)),
        *alphabet,
        *(f"##{alphabet[code]}" for code in np.flatnonzero(continuing)),
    ]
    wanted = vocab_size - len(first)
    if wanted < 0:
        raise VocabularyError(
            f"The vocabulary needs at least {len(first):,} entries: {len(special_tokens)} special tokens, "
            f"{unused_tokens:,} unused, {len(alphabet):,} characters, and {int(continuing.sum()):,} of them as ##",
            received=f"a vocabulary size of {vocab_size:,}",
            do=f"Use a larger vocabulary, or a character coverage below {character_coverage}",
        )
    vocabulary = first + _learn_pieces(words, alphabet, wanted, min_count)
    twice = [token for token, times in Counter(vocabulary).items() if times > 1]
    if twice:
        raise VocabularyError(
            "Words must be split as by BERT, so that none looks like a special token or a ## piece",
            received=", ".join(twice),
        )
    if len(vocabulary) < vocab_size:
        _log.warning(
            "The vocabulary has %d entries instead of %d: no further pieces occur at least %d times in the %d"
            " distinct words.",
            *(len(vocabulary), vocab_size, min_count, len(word_counts)),
        )
    return vocabulary


def _columns(word_counts: Mapping[str, int], character_coverage: float) -> tuple[Words, list[str]]:
    """Returns the words that the alphabet can spell, and the sorted alphabet."""
    texts = [word for word, count in word_counts.items() if word and count > 0]
    if not texts:
        raise VocabularyError(
            "The text must contain words to learn a vocabulary from",
            received="none",
            do="Check that the input contains text",
        )
    counts = np.array([word_counts[word] for word in texts], np.float64)
    lengths = np.array([len(word) for word in texts], np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.int64)
    occurrences = np.bincount(codes, weights=np.repeat(counts, lengths))
    kept = _most_frequent(occurrences, character_coverage)
    spelled = np.logical_and.reduceat(kept[codes], np.cumsum(lengths) - lengths)
    codes = codes[np.repeat(spelled, lengths)]
    alphabet = [chr(code) for code in np.flatnonzero(kept)]
    if any(char.isspace() for char in alphabet):
        raise VocabularyError("Words must be split at white space, as by BERT")
    row_splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[spelled])])
    return Words((np.cumsum(kept) - 1)[codes], row_splits, counts[spelled]), alphabet


def _most_frequent(occurrences: np.ndarray, coverage: float) -> np.ndarray:
    """Selects the most frequent characters that make up `coverage` of all; ties go to the lower code point."""
    order = np.argsort(-occurrences, kind="stable")
    before = np.cumsum(occurrences[order]) - occurrences[order]
    kept = np.zeros(len(occurrences), np.bool_)
    kept[order] = (before < coverage * occurrences.sum()) & (occurrences[order] > 0)
    return kept


def _continuing(words: Words, alphabet: Sequence[str]) -> np.ndarray:
    """Returns which characters can continue a word: to BERT, punctuation and CJK ideographs are separate words."""
    seen = np.bincount(words.characters[words.inside()], minlength=len(alphabet)) > 0
    possible = np.array([not (is_punctuation(char) or is_cjk(char)) for char in alphabet], np.bool_)
    return np.logical_or(seen, possible)


def _learn_pieces(words: Words, alphabet: Sequence[str], wanted: int, min_count: int) -> list[str]:
    """Learns at most `wanted` pieces of two characters or more, the most frequent first."""
    if not wanted:
        return []
    lengths = np.diff(words.row_splits)
    # A word that occurs as often as the threshold is always kept. So the threshold is never below the count of the
    # least of the `wanted` most frequent words, and anything rarer can be left out from the start.
    whole = np.sort(words.counts[(lengths > 1) & (lengths <= _MAX_PIECE_CHARS)])[::-1]
    least = max(min_count, int(whole[wanted - 1]) if len(whole) >= wanted else 0)
    trie = build_trie(words, alphabet_size=len(alphabet), min_count=least, max_length=_MAX_PIECE_CHARS)
    starts, counts = np.arange(len(words.characters)), np.repeat(words.counts, lengths)
    for _ in range(_ITERATIONS):
        totals = np.bincount(trie.deepest[starts], weights=counts, minlength=len(trie.parent))
        for level in reversed(trie.levels()[1:]):
            trie.add_to_parents(level, totals[level], totals)
        kept = _keep_most_frequent(trie, totals, wanted, least)
        starts, counts = _piece_starts(trie, kept > 0, words)
    most_frequent = _order(trie, kept)[: np.count_nonzero(kept)]
    return [trie.text(node, alphabet) for node in most_frequent.tolist()]


def _order(trie: SubstringTrie, kept: np.ndarray) -> np.ndarray:
    """Sorts the nodes by descending frequency; of ties, the longer first, as they save more tokens."""
    return np.lexsort((-trie.length, -kept))


def _keep_most_frequent(trie: SubstringTrie, totals: np.ndarray, wanted: int, least: int) -> np.ndarray:
    """Keeps `wanted` substrings, or fewer if too few occur `least` times, with the highest threshold that suffices.

    Returns:
        As `_keep`, with the least frequent substrings beyond `wanted` left out.
    """
    low, high = least, max(least, int(totals.max()))
    while low < high:
        middle = (low + high + 1) // 2
        if np.count_nonzero(_keep(trie, totals, middle)) >= wanted:
            low = middle
        else:
            high = middle - 1
    kept = _keep(trie, totals, low)
    kept[_order(trie, kept)[wanted:]] = 0
    return kept


def _keep(trie: SubstringTrie, totals: np.ndarray, threshold: int) -> np.ndarray:
    """Keeps the substrings that occur often enough, not counting occurrences as prefixes of longer ones kept.

    Args:
        trie: the substrings.
        totals: float64 `[nodes]`, how often each occurs at the start of a piece.
        threshold: minimum number of occurrences.

    Returns:
        float64 `[nodes]`: the remaining occurrences of each; 0 if it is not kept, and for single characters.
    """
    kept = np.zeros_like(totals)
    in_longer = np.zeros_like(totals)
    for level in reversed(trie.levels()[1:]):
        rest = totals[level] - in_longer[level]
        kept[level] = np.where(rest >= threshold, rest, 0)
        trie.add_to_parents(level, in_longer[level] + kept[level], in_longer)
    return kept


def _piece_starts(trie: SubstringTrie, is_piece: np.ndarray, words: Words) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the words into pieces and single characters, the longest match first.

    Returns:
        The places in the words where pieces start, and the counts of their words.
    """
    matched = np.ones_like(trie.length)
    for level in trie.levels()[1:]:
        matched[level] = np.where(is_piece[level], trie.length[level], matched[trie.parent[level]])
    starts, ends, counts = words.row_splits[:-1], words.row_splits[1:], words.counts
    found = []
    while len(starts):
        found.append((starts, counts))
        starts = starts + matched[trie.deepest[starts]]
        unfinished = starts < ends
        starts, ends, counts = starts[unfinished], ends[unfinished], counts[unfinished]
    return np.concatenate([start for start, _ in found]), np.concatenate([count for _, count in found])
