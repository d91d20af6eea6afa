"""That ids are the library's own is tested in test_huggingface.py; here, that nothing depends on what is remembered."""

from __future__ import annotations

import itertools
import json
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.tokenizer_files import make_tokenizer_file
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from pipeline.tokenizers import remembered_chunks as module
from pipeline.tokenizers.base import TokenBatch
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer
from pipeline.tokenizers.remembered_chunks import RememberedChunks, cuts_at_spaces

TEXTS = [
    "a b  c",
    " a b",
    "a b ",
    "b a\tb",
    "",
    " ",
    "a|b x|y",
    "it's 'a' b-12 3.5",
    "中 文 a",
    "a\xa0b",
    "ab ab ab ab",
]


@pytest.fixture(scope="module")
def data(documents: list[list[str]]) -> bytes:
    library = Tokenizer.from_str(make_tokenizer_file("roberta", [s for d in documents for s in d], 330).decode())
    library.add_tokens([AddedToken("|", normalized=False), AddedToken("  ", normalized=True)])
    return str(library.to_str()).encode()


def edited(data: bytes, **parts: Any) -> bytes:
    library = Tokenizer.from_str(data.decode())
    for name, part in parts.items():
        setattr(library, name, part)
    return str(library.to_str()).encode()


def rows(batch: TokenBatch) -> list[list[int]]:
    assert batch.ids.dtype == np.int32
    return [batch.ids[start:end].tolist() for start, end in itertools.pairwise(batch.row_splits)]


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("lower_case", [False, True])
def test_chunks_have_the_ids_of_their_sentences(data: bytes, prefix: bool, lower_case: bool) -> None:
    parts = {"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=prefix)}
    if lower_case:
        parts["normalizer"] = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer = HuggingFaceTokenizer(edited(data, **parts))
    assert tokenizer._chunks is not None
    known = st.sampled_from(["river", "'s", "12a", "|", "x|", "|x", "É", "e\u0301", "--", "中"])
    words = st.one_of(known, st.text(max_size=3))

    @settings(max_examples=80)
    @given(st.lists(st.lists(words, max_size=6).map(" ".join), max_size=4))
    def check(sentences: list[str]) -> None:
        texts = [*TEXTS, *(text.encode("utf-8", "ignore").decode() for text in sentences)]
        assert rows(tokenizer.encode(texts)) == rows(tokenizer._encode_each(texts))

    check()


def test_what_was_seen_before_makes_no_difference(
    data: bytes, documents: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = [*TEXTS, *(sentence for document in documents for sentence in document)]
    expected = rows(HuggingFaceTokenizer(data).encode(sentences))
    tokenizer = HuggingFaceTokenizer(data)
    assert [rows(tokenizer.encode([sentence]))[0] for sentence in sentences] == expected
    assert rows(tokenizer.encode(sentences)) == expected
    assert rows(tokenizer.encode([])) == []
    monkeypatch.setattr(module, "_MOST_CHUNKS", 3)  # Forgotten before every call but the first.
    monkeypatch.setattr(module, "_JOINED", 2)
    assert [rows(tokenizer.encode([sentence]))[0] for sentence in sentences] == expected


def test_a_chunk_is_encoded_once() -> None:
    asked: list[str] = []

    def encode(texts: Any) -> TokenBatch:
        """Each character is a token, and 0 is a space."""
        asked.extend(texts)
        ids = np.array([ord(char) - ord(" ") for text in texts for char in text], np.int32)
        return TokenBatch(ids, np.cumsum([0, *map(len, texts)]))

    chunks = RememberedChunks(encode, np.arange(200) == 0)
    assert rows(chunks.encode(["ab c ab", "c ab"])) == [[65, 66, 0, 67, 0, 65, 66], [67, 0, 65, 66]]
    assert sorted(asked) == [" c ab", "ab", "c"]
    chunks.encode(["ab c", "c ab c"])
    assert len(asked) == 3


def test_threads_may_share_it(data: bytes, documents: list[list[str]]) -> None:
    expected = [rows(HuggingFaceTokenizer(data).encode(document)) for document in documents]
    tokenizer = HuggingFaceTokenizer(data)
    found: list[Any] = [None] * 3

    def work(number: int) -> None:
        found[number] = [rows(tokenizer.encode(document)) for document in documents]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * len(found)


def test_which_tokenizers_cut_at_spaces(data: bytes) -> None:
    def cuts(**parts: Any) -> bool:
        return cuts_at_spaces(json.loads(edited(data, **parts)))

    assert cuts()
    assert cuts(normalizer=normalizers.NFC())
    assert not cuts(pre_tokenizer=pre_tokenizers.ByteLevel(use_regex=False))
    assert not cuts(pre_tokenizer=pre_tokenizers.Metaspace())
    assert not cuts(normalizer=normalizers.Replace("a b", "c"))
    for token, expected in (("a b", False), (" ", False), ("a   b", True), ("a", True)):
        library = Tokenizer.from_str(data.decode())
        library.add_tokens([AddedToken(token)])
        assert cuts_at_spaces(json.loads(library.to_str())) is expected
    for side in ("lstrip", "rstrip"):
        library = Tokenizer.from_str(data.decode())
        library.add_tokens([AddedToken("x", **{side: True})])
        assert not cuts_at_spaces(json.loads(library.to_str()))
