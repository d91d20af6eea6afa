"""Learns a byte-level BPE, as a tokenizer.json, from the counts of words.

The `tokenizers` library has a trainer, but it counts the words by itself, in one process: it takes text, and no counts
(its `BpeTrainer.feed` is not for callers, and texts of repeated words would be as long as the corpus). So the merges
are learned here, in the order and with the ties of that trainer, and the file is written by the library.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.compiling import VOCABULARY_LOOPS, compile_loops
from pipeline.errors import VocabularyError
from pipeline.tokenizers.normalizer import text_for_library
from pipeline.tokenizers.tokenizer_file import byte_symbols
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS

_MOST_REMEMBERED = 1 << 19  # Chunks of text whose words are remembered at a time: bounds memory.

_log = logging.getLogger(__name__)


def word_splitter(*, lower_case: bool) -> Callable[[str], list[str]]:
    """Returns the function that cuts text into the words to count: as the tokenizer's normaliser and pre-tokenizer do.

    White space counts as one space before a word, also before the first. A word is written in the symbols of bytes.
    """
    rules = _rules(lower_case)
    known: dict[str, list[str]] = {}

    def split(text: str) -> list[str]:
        words = []
        # The pre-tokenizer cuts before every single space, so that what lies between two is cut by itself.
        for chunk in text.split():
            found = known.get(chunk)
            if found is None:
                normal = rules.normalizer.normalize_str(text_for_library(chunk, False))
                found = [word for word, _ in rules.pre_tokenizer.pre_tokenize_str(normal)]
                if len(known) >= _MOST_REMEMBERED:
                    known.clear()
                known[chunk] = found
            words += found
        return words

    return split


def learn_byte_pairs(
    word_counts: Mapping[str, int],
    *,
    vocab_size: int,
    lower_case: bool = False,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    unused_tokens: int = 0,
    min_count: int = 2,
) -> bytes:
    """Learns a tokenizer; the same counts give the same bytes, in any order.

    Its pre-tokenizer is GPT-2's, which ModernBERT uses as well, with a space before every text: sentences are encoded
    one by one, and their first words are then the tokens that they are within a text.

    Args:
        word_counts: how often each word occurs; words as cut by `word_splitter`.
        vocab_size: number of entries.
        lower_case: whether the tokenizer lower-cases text; it always composes characters (NFC).
        special_tokens: the first entries, in this order; the first five are [PAD], [UNK], [CLS], [SEP] and [MASK].
        unused_tokens: number of placeholders, "[unused0]" and so on, that follow; then come the 256 bytes.
        min_count: minimum number of occurrences of a pair that is merged.

    Returns:
        The bytes of a tokenizer.json. It has `vocab_size` entries, or fewer (and a warning is logged) if too few pairs
        occur `min_count` times.

    Raises:
        VocabularyError: if there are no words, or `vocab_size` is too small for the bytes.
    """
    from tokenizers import AddedToken, decoders, models, processors

    first = [*special_tokens, *(f"[unused{i}]" for i in range(unused_tokens))]
    alphabet = sorted(byte_symbols())
    wanted = vocab_size - len(first) - len(alphabet)
    if wanted < 0:
        raise VocabularyError(
            f"The vocabulary needs at least {len(first) + len(alphabet):,} entries: {len(special_tokens)} special"
            f" tokens, {unused_tokens:,} unused, and {len(alphabet)} bytes",
            received=f"a vocabulary size of {vocab_size:,}",
            do="Use a larger vocabulary",
        )
    tokens = alphabet.copy()
    numbers = {token: number for number, token in enumerate(tokens)}
    merges = []
    for left, right in _learn(word_counts, alphabet, wanted, min_count):
        merges.append((tokens[left], tokens[right]))
        merged = tokens[left] + tokens[right]
        if merged not in numbers:
            numbers[merged] = len(tokens)
            tokens.append(merged)
    if len(tokens) < wanted + len(alphabet):
        _log.warning(
            "The vocabulary has %d entries instead of %d: no further pairs occur at least %d times in the %d distinct"
            " words.",
            *(len(first) + len(tokens), vocab_size, min_count, len(word_counts)),
        )
    vocab = {token: number for number, token in enumerate([*first, *tokens])}
    tokenizer = _rules(lower_case)
    tokenizer.model = models.BPE(vocab, merges)
    tokenizer.decoder = decoders.ByteLevel()
    _, _, cls, sep, mask, *_ = special_tokens
    # White space before a mask belongs to what it hides.
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, lstrip=token == mask) for token in first])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, vocab[token]) for token in (cls, sep)],
    )
    return f"{tokenizer.to_str(pretty=True)}\n".encode()


def _rules(lower_case: bool) -> Any:
    """Returns a tokenizer that has the rules of those learned here, and no model yet."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    compose = normalizers.NFC()
    tokenizer.normalizer = normalizers.Sequence([compose, normalizers.Lowercase()]) if lower_case else compose
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


def _learn(
    word_counts: Mapping[str, int], alphabet: Sequence[str], wanted: int, min_count: int
) -> list[tuple[int, int]]:
    """Returns the merges, as numbers of tokens: symbols of the alphabet first, then the results of earlier merges."""
    words = sorted(word for word, count in word_counts.items() if word and count > 0)
    if not words:
        raise VocabularyError(
            "The text must contain words to learn a vocabulary from",
            received="none",
            do="Check that the input contains text",
        )
    if not wanted:
        return []
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    row_splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    codes = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
    number_of = np.full(max(map(ord, alphabet)) + 1, -1, np.int32)
    number_of[list(map(ord, alphabet))] = np.arange(len(alphabet))
    if codes.max() >= len(number_of) or (number_of[codes] < 0).any():
        raise VocabularyError("Words must be written in the symbols of bytes, as cut by `word_splitter`")
    counts = np.array([word_counts[word] for word in words], np.int64)
    compile_loops(VOCABULARY_LOOPS)
    from pipeline.tokenizers.learning.byte_pair_kernels import learn_merges

    # Several merges may make the same token, if rarely.
    merges = np.zeros((2 * wanted + 1024, 2), np.int32)
    letters, splits = np.arange(len(alphabet), dtype=np.int32), np.arange(len(alphabet) + 1)
    barred = np.zeros(0, np.int64)
    made = learn_merges(number_of[codes], row_splits, counts, letters, splits, barred, wanted, min_count, merges)
    return [(left, right) for left, right in merges[:made].tolist()]
