from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, VocabularyError
from pipeline.tokenizers import HuggingFaceTokenizer, SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from pipeline.tokenizers.base import MASK
from pipeline.tokenizers.learning.byte_pairs import learn_byte_pairs
from pipeline.training.text_ops.exact import check_text_ops, text_ops
from pipeline.training.text_ops.wordpiece import WordPieceOps

Sample = Callable[[bool], WordPieceTokenizer]
Learned = Callable[..., SentencePieceTokenizer]


def assert_same(tokenizer: Tokenizer, ops: Any, texts: Sequence[str]) -> None:
    """Texts and texts with masks have the same ids in the graph."""
    found = ops.tokenize(tf.constant([text.encode("utf-8", "replace") for text in texts]))
    expected = tokenizer.encode([text.encode("utf-8", "replace").decode() for text in texts])
    np.testing.assert_array_equal(found.row_splits, expected.row_splits)
    np.testing.assert_array_equal(found.values, expected.ids)
    masked = ops.tokenize_with_masks(tf.constant([text.encode("utf-8", "replace") for text in texts])).to_list()
    assert masked == [tokenizer.encode_with_masks(text.encode("utf-8", "replace").decode()) for text in texts]


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def pair(request: pytest.FixtureRequest, sample_tokenizer: Sample) -> tuple[WordPieceTokenizer, WordPieceOps]:
    tokenizer = sample_tokenizer(request.param)
    return tokenizer, WordPieceOps(tokenizer)


def test_wordpiece_has_the_ids_of_all_characters_and_of_prose(pair: Any, prose: list[str]) -> None:
    check_text_ops(pair[1], pair[0], prose)


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(
            st.sampled_from(
                [
                    *" \t\n\x00\x85\xad\u2028\u3000\ufffdaZé.'ΣσßİϴΐǅΑΟΣ漢한カ😀[\u0301\u0323\u302e\u302f\ufe0f\u0345",
                    *("\U00016ff0", "\U0001d165", "ab" * 100, "x" * 201, "the", "##s", MASK),
                ]
            )
            | st.characters(),
            max_size=20,
        ).map("".join),
        min_size=1,
        max_size=8,
    )
)
def test_wordpiece_on_any_text(pair: Any, texts: list[str]) -> None:
    assert_same(*pair, texts)


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=12), min_size=1, max_size=8))
def test_invalid_bytes_are_what_python_replaces_them_by(pair: Any, texts: list[bytes]) -> None:
    found = pair[1].tokenize(tf.constant(texts))
    assert (
        found.to_list() == pair[1].tokenize(tf.constant([text.decode("utf-8", "replace") for text in texts])).to_list()
    )


def test_entries_that_no_word_spells(sample_vocabulary: bytes) -> None:
    entries = sample_vocabulary.decode().splitlines()
    odd = ["a\0b", "", "##", "##a##b", "[x]", "a b", "\u0301", "##\ufffd", "é"]
    tokenizer = WordPieceTokenizer("\n".join([*entries, *odd, "zz"]).encode(), lower_case=True)
    assert_same(tokenizer, WordPieceOps(tokenizer), ["a b é ##a##b [x] azz zz", "a\0b", "## # ###"])


def test_an_entry_that_is_too_long_for_tensorflow_text_is_named(sample_vocabulary: bytes) -> None:
    tokenizer = WordPieceTokenizer(sample_vocabulary + "漢".encode() * 150 + b"\n", lower_case=False)
    with pytest.raises(VocabularyError, match="FastWordpieceTokenizer does not accept the vocabulary"):
        WordPieceOps(tokenizer)


@pytest.mark.parametrize(
    "options",
    [
        {"model_type": "unigram"},
        {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc_cf"},
        {"model_type": "unigram", "lower_case": True},
        {"model_type": "bpe", "byte_fallback": True},
    ],
    ids=str,
)
def test_sentencepiece(learned: Learned, prose: list[str], options: Any) -> None:
    tokenizer = learned(**options)
    ops = text_ops(tokenizer)
    check_text_ops(ops, tokenizer, prose)
    name = tokenizer.tokens[tokenizer.special_ids["mask"]]
    assert_same(tokenizer, ops, [f"a {name} b", f"{MASK} the\u2003{MASK}", "ΑΣ ΑΣΑ'Σ É", "", "\U0010fffc"])


def test_a_model_that_is_cut_otherwise_is_refused_with_the_text(learned: Learned, prose: list[str]) -> None:
    """Unigram with bytes: neither of tensorflow-text's operations agrees on segmentations of the same score."""
    tokenizer = learned(model_type="unigram", byte_fallback=True)
    with pytest.raises(VocabularyError, match=r"does not give the same tokens .* instead of .* in '.*'"):
        check_text_ops(text_ops(tokenizer), tokenizer, prose)


def test_a_difference_in_one_text_of_many_is_found(pair: Any, prose: list[str]) -> None:
    tokenizer, ops = pair

    class Wrong:
        special_ids = ops.special_ids
        tokenize_with_masks = ops.tokenize_with_masks

        def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
            return ops.tokenize(tf.strings.regex_replace(texts, "planted", "other"))

    with pytest.raises(VocabularyError, match=r"in 'A fault is planted here\.'"):
        check_text_ops(Wrong(), tokenizer, [*prose[:500], "A fault is planted here."])


def test_a_tokenizer_json_has_no_operation() -> None:
    from collections import Counter

    tokenizer = HuggingFaceTokenizer(learn_byte_pairs(Counter({"a": 2, "b": 3}), vocab_size=300, lower_case=False))
    with pytest.raises(ConfigError, match=r"WordPiece or SentencePiece vocabulary can take text.*tokenizer\.json"):
        text_ops(tokenizer)
