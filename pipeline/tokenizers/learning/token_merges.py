"""Learns which neighbouring tokens of a text to merge into new entries of the vocabulary that cut it.

A byte-pair encoding applies the earliest merge that it can, so merges that are appended to its own apply only where
none of its own does: to the tokens that it makes of a word. They are learned here from these tokens, as byte pairs are
from bytes. Text in which no new entry stands thus keeps its tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pipeline.compiling import VOCABULARY_LOOPS, compile_loops
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer
from pipeline.tokenizers.normalizer import is_punctuation
from pipeline.tokenizers.sentencepiece import SentencePieceTokenizer

MergingTokenizer: TypeAlias = HuggingFaceTokenizer | SentencePieceTokenizer
_SPACE = "▁"


@dataclass(frozen=True)
class Runs:
    """Tokens that may be merged, and how often they stand so: those of a word, or what unmergeable ones leave of it.

    Attributes:
        ids: int32 `[tokens]`, run by run.
        row_splits: int64 `[runs + 1]`.
        counts: int64 `[runs]`.
    """

    ids: np.ndarray
    row_splits: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class LearnedToken:
    """A new entry.

    Attributes:
        text: its text, as entries are spelled.
        pieces: the ids of the old entries that it is made of.
        uses: how often it is a token of the runs, after all merges.
    """

    text: str
    pieces: tuple[int, ...]
    uses: int


def find_runs(tokenizer: MergingTokenizer, word_counts: Mapping[str, int]) -> Runs:
    """Cuts words by the vocabulary that is to be extended.

    Tokens are not merged over what the pre-tokenizer cuts, nor marks with letters; special and added tokens, bytes of
    unknown characters and what is unknown are not merged at all.

    Args:
        tokenizer: the tokenizer.
        word_counts: how often each word occurs; words as white space separates them.
    """
    words = sorted(word for word, count in word_counts.items() if word and count > 0)
    counts = np.array([word_counts[word] for word in words], np.int64)
    if isinstance(tokenizer, HuggingFaceTokenizer):
        (ids, row_splits), begins = tokenizer.encode_words([f"{tokenizer.word_prefix}{word}" for word in words])
    else:
        ids, row_splits = tokenizer.encode(words)
        begins = np.zeros(len(ids), np.bool_)
    starts = row_splits[:-1]
    begins[starts[starts < len(ids)]] = True
    kept = np.zeros(tokenizer.vocab_size, np.bool_)
    kept[tokenizer.mergeable_ids] = True
    marks = _are_marks(tokenizer)
    keep = kept[ids]
    begins[1:] |= ~keep[:-1] | (marks[ids[1:]] != marks[ids[:-1]])
    run_of = np.cumsum(begins) - 1  # A run may be left without any token.
    word_of = np.repeat(np.arange(len(words)), np.diff(row_splits))
    ids, run_of, word_of = ids[keep], run_of[keep], word_of[keep]
    first = np.flatnonzero(np.diff(run_of, prepend=-1))
    return Runs(ids.astype(np.int32), np.append(first, len(ids)).astype(np.int64), counts[word_of[first]])


def _are_marks(tokenizer: MergingTokenizer) -> np.ndarray:
    """Which entries of a vocabulary that marks spaces by "▁" are punctuation; none of any other."""
    tokens = tokenizer.tokens
    if not any(token.startswith(_SPACE) for token in tokens):
        return np.zeros(len(tokens), np.bool_)
    texts = [token.lstrip(_SPACE) for token in tokens]
    return np.array([bool(text) and all(map(is_punctuation, text)) for text in texts], np.bool_)


def learn_token_merges(
    runs: Runs, tokens: Sequence[str], *, barred: Collection[str], wanted: int, min_count: int
) -> tuple[list[tuple[str, str]], list[LearnedToken]]:
    """Learns merges, the most frequent pair first; the same runs give the same merges.

    Args:
        runs: the tokens.
        tokens: the entries of the vocabulary, by id.
        barred: texts that no merge may make, the old entries among them.
        wanted: maximum number of new entries, at least 1.
        min_count: minimum number of occurrences of a pair.

    Returns:
        The merges, in their order; and the new entries, in theirs. Fewer than `wanted` if there are no more pairs.
    """
    if not len(runs.ids):
        return [], []
    compile_loops(VOCABULARY_LOOPS)
    from pipeline.tokenizers.learning.byte_pair_kernels import hash_texts, learn_merges

    used, symbols = np.unique(runs.ids, return_inverse=True)
    symbols = symbols.astype(np.int32)
    merges = np.zeros((2 * wanted + 1024, 2), np.int32)
    texts, splits = _codes([tokens[index] for index in used])
    hashes = np.zeros(len(barred), np.int64)
    hash_texts(*_codes(barred), hashes)
    hashes.sort()
    made = learn_merges(symbols, runs.row_splits, runs.counts, texts, splits, hashes, wanted, min_count, merges)
    numbered = [tokens[index] for index in used]
    pieces = [(int(index),) for index in used]
    known: dict[str, int] = {}
    pairs = []
    for left, right in merges[:made].tolist():
        pairs.append((numbered[left], numbered[right]))
        text = numbered[left] + numbered[right]
        if text not in known:
            known[text] = len(numbered)
            numbered.append(text)
            pieces.append(pieces[left] + pieces[right])
    weights = np.repeat(runs.counts, np.diff(runs.row_splits))
    final = symbols >= 0
    uses = np.bincount(symbols[final], weights=weights[final], minlength=len(numbered))
    learned = [LearnedToken(text, pieces[number], int(uses[number])) for text, number in known.items()]
    return pairs, learned


def _codes(texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    texts = list(texts)
    splits = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.int32).copy(), splits
