"""What the kinds of vocabulary have in common when they are learned: words to count, the most frequent to keep."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable

from pipeline.tokenizers.normalizer import BertNormalizer


def word_splitter(*, lower_case: bool) -> Callable[[str], list[str]]:
    """What cuts text into the words to count."""
    return BertNormalizer(lower_case=lower_case).words


def most_frequent(counts: Iterable[tuple[str, int]], limit: int) -> list[tuple[str, int]]:
    """The `limit` most frequent of words with their counts; a set that does not depend on their order.

    Which of equals are kept, a checksum decides: in their own order, the first letters of the alphabet would.
    """
    counts = list(counts)
    if len(counts) <= limit:
        return counts
    return sorted(counts, key=_rank)[:limit]


def _rank(item: tuple[str, int]) -> tuple[int, int, str]:
    word, count = item
    return -count, zlib.crc32(word.encode("utf-8", "surrogatepass")), word
