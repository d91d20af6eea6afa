from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from oracles.tokenizer_files import make_tokenizer_file
from tokenizers import Tokenizer, models, pre_tokenizers

from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer

TEXT = "Don't say \"it's\" (there) 'is 42nd-rate -- Ünïcödé!"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [
        sentence
        for path in source_files(STANDARD_LIBRARY)
        if path.parent.name in ("email", "pydoc_data")
        for document in documents(path)[0]
        for sentence in document
    ]


def edit_pre_tokenizer(data: bytes, pre_tokenizer: Any) -> bytes:
    library = Tokenizer.from_str(data.decode())
    library.pre_tokenizer = pre_tokenizer
    return str(library.to_str()).encode()


def gpt4() -> Any:
    """The pattern of Llama 3 and of EuroBERT."""
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    )
    from tokenizers import Regex

    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )


def agreement(data: bytes, texts: Sequence[str]) -> float:
    """The share of tokens of which we say the same as the library's `word_ids`: whether they begin a word."""
    tokenizer, library = HuggingFaceTokenizer(data), Tokenizer.from_str(data.decode())
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = True
    same = total = 0
    for encoding in library.encode_batch(list(texts), add_special_tokens=False):
        words = np.array(encoding.word_ids, np.int64)
        expected = np.ones(len(words), np.bool_)
        expected[1:] = words[1:] != words[:-1]
        same += int((tokenizer.word_boundaries.find(np.array(encoding.ids, np.int64)) == expected).sum())
        total += len(words)
    return same / total


@pytest.mark.parametrize(
    ("kind", "least"), [("roberta", 0.998), ("modernbert", 0.998), ("gpt-4", 0.995), ("xlm-r", 1.0), ("clip", 0.998)]
)
def test_words_are_the_librarys_own_on_prose(kind: str, least: float, texts: list[str]) -> None:
    data = make_tokenizer_file("roberta" if kind == "gpt-4" else kind, texts[:1000], 1500)
    if kind == "gpt-4":
        data = edit_pre_tokenizer(data, gpt4())
    share = agreement(data, texts)
    assert share >= least
    assert agreement(data, [text.replace(" ", "") for text in texts[:300]]) > 0.98  # Told by other signs than spaces.


def words_of(data: bytes, text: str) -> list[str]:
    tokenizer = HuggingFaceTokenizer(data)
    ids = tokenizer.encode([text]).ids
    begins = np.flatnonzero(tokenizer.word_boundaries.find(ids))
    return [tokenizer.decode(part) for part in np.split(ids, begins[begins > 0])]


def test_the_words_of_each_kind(texts: list[str]) -> None:
    def found(kind: str, text: str = TEXT) -> list[str]:
        return words_of(make_tokenizer_file(kind, texts[:500], 600), text)

    marks = ["Don", "'t", "say", '"', "it", "'s", '"', "(", "there", ")", "'", "is", "42", "nd", "-", "rate", "--"]
    assert found("roberta") == [*marks, "Ünïcödé", "!"]
    assert found("xlm-r", "Don't say it.") == ["Don't", "say", "it."]
    assert found("bert", "there is 42nd") == ["there", "is", "42nd"]
    assert found("clip", "there (is) 42nd") == ["there", "(", "is", ")", "42nd"]
    # Its pre-tokenizer cuts nothing, so words are those of SentencePiece.
    assert found("gemma", "there (is) a value, 中文") == ["there", "(", "is", ")", "a", "value", ",", "中", "文"]


def test_characters_in_several_tokens_are_not_cut(texts: list[str]) -> None:
    data = make_tokenizer_file("roberta", ["a b"], 262)  # Each byte is a token.
    assert words_of(data, "é, été 中文 ’ x") == ["é", ",", "été", "中文", "’", "x"]


def test_without_a_trace_of_white_space_each_token_is_a_word() -> None:
    vocab = {token: index for index, token in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<mask>", "a", "b", "c"])}
    tokenizer = Tokenizer(models.BPE(vocab | {"ab": 8}, [("a", "b")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ours = HuggingFaceTokenizer(str(tokenizer.to_str()).encode())
    assert ours.word_boundaries.find(ours.encode(["abc ab"]).ids).tolist() == [True, True, True]
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    ours = HuggingFaceTokenizer(str(words.to_str()).encode())
    assert ours.word_boundaries.find(ours.encode(["a b other"]).ids).tolist() == [True, True, True]


@pytest.mark.parametrize("kind", ["roberta", "xlm-r", "gemma", "clip"])
def test_special_tokens_stand_alone(kind: str, texts: list[str]) -> None:
    tokenizer = HuggingFaceTokenizer(make_tokenizer_file(kind, texts[:500], 800))
    inside = tokenizer.encode(["valuevaluevalue"]).ids[1]
    special = tokenizer.special_ids
    ids = np.array([special["cls"], inside, special["sep"], inside, special["mask"]])
    assert tokenizer.word_boundaries.find(ids).tolist() == [True] * 5
