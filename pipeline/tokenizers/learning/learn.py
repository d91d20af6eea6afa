"""Learns a vocabulary of any kind: selects the words to count and to keep, and makes the vocabulary file."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from pipeline.tokenizers.learning.byte_pairs import learn_byte_pairs
from pipeline.tokenizers.learning.byte_pairs import word_splitter as split_into_byte_words
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece
from pipeline.tokenizers.learning.sentencepiece import split_words as split_sentencepiece_words
from pipeline.tokenizers.learning.wordpiece import learn_wordpiece
from pipeline.tokenizers.normalizer import BertNormalizer

KINDS = {
    "wordpiece": "WordPiece, as BERT",
    "unigram": "SentencePiece's unigram model (Kudo, 2018), as ALBERT",
    "bpe": "SentencePiece's byte-pair encoding (Sennrich et al., 2016)",
    "bytebpe": "byte-level BPE as a tokenizer.json, as RoBERTa and ModernBERT",
}


def word_splitter(kind: str, *, lower_case: bool) -> Callable[[str], list[str]]:
    """Returns the function that cuts text into the words to count for a kind of vocabulary."""
    if kind == "bytebpe":
        return split_into_byte_words(lower_case=lower_case)
    return BertNormalizer(lower_case=lower_case).words if kind == "wordpiece" else split_sentencepiece_words


def most_frequent(counts: Iterable[tuple[str, int]], limit: int) -> list[tuple[str, int]]:
    """Returns the `limit` most frequent words with their counts; which words does not depend on their order.

    Ties are broken by a checksum: alphabetical order would favour the first letters of the alphabet.
    """
    counts = list(counts)
    if len(counts) <= limit:
        return counts
    return sorted(counts, key=_rank)[:limit]


def _rank(item: tuple[str, int]) -> tuple[int, int, str]:
    word, count = item
    return -count, zlib.crc32(word.encode("utf-8", "surrogatepass")), word


def learn_vocabulary(
    word_counts: Mapping[str, int],
    *,
    kind: str,
    vocab_size: int,
    lower_case: bool,
    special_tokens: Sequence[str],
    unused_tokens: int,
    character_coverage: float,
    byte_fallback: bool,
    min_count: int,
) -> bytes:
    """Learns a vocabulary from words cut by `word_splitter`; the same counts give the same bytes.

    Args:
        word_counts: how often each word occurs.
        kind: a key of `KINDS`.
        vocab_size: number of entries.
        lower_case: whether text is lower-cased.
        special_tokens: the first entries, the five of BERT before all others.
        unused_tokens: number of placeholders that follow.
        character_coverage: share of all characters that the vocabulary must be able to spell.
        byte_fallback: whether SentencePiece gets a piece for each byte.
        min_count: minimum number of occurrences of a WordPiece piece, or of a pair of tokens of a byte-level BPE.

    Returns:
        The bytes of the vocabulary file.

    Raises:
        VocabularyError: if there are no words, or `vocab_size` is too small for the characters.
    """
    if kind == "bytebpe":
        return learn_byte_pairs(
            word_counts,
            vocab_size=vocab_size,
            lower_case=lower_case,
            special_tokens=special_tokens,
            unused_tokens=unused_tokens,
            min_count=min_count,
        )
    if kind != "wordpiece":
        return learn_sentencepiece(
            word_counts,
            model_type=kind,
            vocab_size=vocab_size,
            lower_case=lower_case,
            special_tokens=special_tokens,
            unused_tokens=unused_tokens,
            character_coverage=character_coverage,
            byte_fallback=byte_fallback,
        )
    tokens = learn_wordpiece(
        word_counts,
        vocab_size=vocab_size,
        special_tokens=special_tokens,
        unused_tokens=unused_tokens,
        character_coverage=character_coverage,
        min_count=min_count,
    )
    return "".join(f"{token}\n" for token in tokens).encode()
