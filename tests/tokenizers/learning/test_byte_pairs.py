from __future__ import annotations

import itertools
import json
import logging
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from pipeline.errors import VocabularyError
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer
from pipeline.tokenizers.learning.byte_pairs import learn_byte_pairs, word_splitter
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS

WORDS = {"Ġlow": 5, "Ġlower": 2, "Ġnewest": 6, "Ġwidest": 3}  # Sennrich et al., 2016, algorithm 1.
OTHERS = [
    "Crème brûlée e\u0301t\u00e9",
    "我们去北京。今天天气很好！",
    "don't 'say' 12345-6 ... -- \t x",
    "aaaaaaaa aaaa",
] * 3


@pytest.fixture(scope="module")
def texts() -> list[str]:
    english = [
        sentence
        for path in source_files(STANDARD_LIBRARY)
        if path.parent.name in ("asyncio", "email")
        for document in documents(path)[0]
        for sentence in document
    ]
    return [*english, *OTHERS]


@pytest.fixture(scope="module")
def counts(texts: list[str]) -> dict[str, int]:
    split = word_splitter(lower_case=False)
    return dict(Counter(word for text in texts for word in split(text)))


def model(data: bytes) -> Any:
    return json.loads(data)["model"]


def merges(data: bytes) -> list[str]:
    return ["+".join(merge) for merge in model(data)["merges"]]


def library_model(texts: list[str], vocab_size: int, min_count: int, *, lower_case: bool = False) -> Any:
    """What the library's own trainer learns."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    if lower_case:
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_count,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(text.split()) for text in texts], trainer)
    return json.loads(tokenizer.to_str())["model"]


@pytest.mark.parametrize(
    ("vocab_size", "min_count", "lower_case"), [(700, 2, True), (3000, 2, False), (100_000, 3, False), (262, 1, False)]
)
def test_merges_are_those_of_the_librarys_trainer(
    texts: list[str], vocab_size: int, min_count: int, lower_case: bool
) -> None:
    split = word_splitter(lower_case=lower_case)
    words = Counter(word for text in texts for word in split(text))
    ours = model(learn_byte_pairs(words, vocab_size=vocab_size, min_count=min_count, lower_case=lower_case))
    theirs = library_model(texts, vocab_size, min_count, lower_case=lower_case)
    assert ours["merges"] == theirs["merges"]
    assert ours["vocab"] == theirs["vocab"]


def merge_slowly(word_counts: Mapping[str, int], limit: int, min_count: int) -> list[str]:
    """Sennrich et al., 2016, algorithm 1: every pair is counted again before every merge."""
    numbers = {symbol: number for number, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    words = {tuple(word): count for word, count in word_counts.items()}
    made: list[str] = []
    while len(numbers) < 256 + limit:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], numbers[pair[0]], numbers[pair[1]]))
        if pairs[best] < min_count:
            break
        made.append("+".join(best))
        numbers.setdefault("".join(best), len(numbers))
        merged: Counter[tuple[str, ...]] = Counter()
        for word, count in words.items():
            rest, out = list(word), []
            while rest:
                taken = 2 if tuple(rest[:2]) == best else 1
                out.append("".join(rest[:taken]))
                rest = rest[taken:]
            merged[tuple(out)] += count
        words = dict(merged)
    return made


@settings(max_examples=150)
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 9), min_size=1, max_size=12),
    st.integers(1, 12),
    st.integers(1, 4),
)
def test_merges_are_those_of_the_published_algorithm(words: dict[str, int], limit: int, min_count: int) -> None:
    """Tokens that two merges make, runs of one letter, and ties are frequent here."""
    found = merges(learn_byte_pairs(words, vocab_size=261 + limit, min_count=min_count))
    assert found == merge_slowly(words, limit, min_count)


def test_the_published_example() -> None:
    found = merges(learn_byte_pairs(WORDS, vocab_size=261 + 8))
    assert found[:3] == ["e+s", "es+t", "l+o"]
    assert found == merge_slowly(WORDS, 8, 2)


def test_the_same_counts_in_any_order_and_process_give_the_same_bytes(counts: dict[str, int]) -> None:
    words = list(counts.items())
    random.Random(1).shuffle(words)
    data = learn_byte_pairs(counts, vocab_size=600)
    assert learn_byte_pairs(dict(words), vocab_size=600) == data
    code = f"""
import sys
from pipeline.tokenizers.learning.byte_pairs import learn_byte_pairs
sys.stdout.buffer.write(learn_byte_pairs({{word: {WORDS!r}[word] for word in set({WORDS!r})}}, vocab_size=270))"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stdout == learn_byte_pairs(WORDS, vocab_size=270)


def test_words_are_those_of_the_tokenizer(texts: list[str]) -> None:
    split = word_splitter(lower_case=True)
    library = Tokenizer.from_str(learn_byte_pairs(WORDS, vocab_size=270, lower_case=True).decode())
    for text in [*texts[:500], *OTHERS, "A\ud800b ÀÉ"]:
        plain = " ".join(text.encode("utf-8", "ignore").decode().split())
        expected = library.pre_tokenizer.pre_tokenize_str(library.normalizer.normalize_str(plain))
        assert split(text) == [word for word, _ in expected]
    assert split(" \n") == []


def test_the_tokenizer(counts: dict[str, int]) -> None:
    data = learn_byte_pairs(counts, vocab_size=600, special_tokens=[*SPECIAL_TOKENS, "[URL]"], unused_tokens=2)
    tokenizer = HuggingFaceTokenizer(data)
    assert tokenizer.vocab_size == 600
    assert list(tokenizer.tokens[:8]) == [*SPECIAL_TOKENS, "[URL]", "[unused0]", "[unused1]"]
    assert dict(tokenizer.special_ids) == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert tokenizer.ordinary_ids.tolist() == list(range(8, 600))
    # The first word of a sentence is the token that it is within a text.
    ids = tokenizer.encode(["the event", "of the event"])
    assert ids.ids[: ids.row_splits[1]].tolist() == ids.ids[ids.row_splits[1] + 1 :].tolist()
    for text in ("Ünïcödé 😀 中文 \x00", "[URL] [MASK]"):
        assert tokenizer.decode(tokenizer.encode([text]).ids) == text
    library = Tokenizer.from_str(data.decode())
    assert library.encode("the [MASK]").ids[-2:] == [4, 3]
    assert library.encode("a", "b").type_ids == [0, 0, 0, 1, 1]


def test_fewer_entries_than_asked_for_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert HuggingFaceTokenizer(learn_byte_pairs({"ab": 2, "cd": 1}, vocab_size=400)).vocab_size == 262
    assert (
        "has 262 entries instead of 400: no further pairs occur at least 2 times in the 2 distinct words" in caplog.text
    )


def test_bad_input_is_refused() -> None:
    with pytest.raises(VocabularyError, match=r"at least 261 entries: 5 special tokens, 0 unused, and 256 bytes"):
        learn_byte_pairs(WORDS, vocab_size=260)
    assert merges(learn_byte_pairs(WORDS, vocab_size=261)) == []
    for words in ({}, {"": 3}, {"a": 0}):
        with pytest.raises(VocabularyError, match="words to learn a vocabulary from"):
            learn_byte_pairs(words, vocab_size=300)
    for word in ("中", "a b"):
        with pytest.raises(VocabularyError, match="symbols of bytes"):
            learn_byte_pairs({word: 2}, vocab_size=300)
