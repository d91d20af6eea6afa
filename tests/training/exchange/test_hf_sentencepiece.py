"""That the ids are the same is proved by the tokenizers library itself: see test_transformers.py."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.tokenizers import make_tokenizer
from pipeline.tokenizers import sentencepiece_model as spm
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece, split_words
from pipeline.training.exchange.hf_sentencepiece import sentencepiece_parts


@pytest.fixture(scope="module")
def learn(documents: list[list[str]]) -> Any:
    counts = Counter(word for document in documents for line in document for word in split_words(line))
    return lambda **options: learn_sentencepiece(counts, **options)


def test_unigrams(learn: Any) -> None:
    model = learn(model_type="unigram", vocab_size=120)
    tokenizer = make_tokenizer(model)
    parts = sentencepiece_parts(tokenizer, model)
    pieces = parts["model"]["vocab"]
    assert [piece for piece, _ in pieces] == list(tokenizer.tokens)
    special = set(tokenizer.special_ids.values())
    assert all((score < -1e5) == (index in special) for index, (_, score) in enumerate(pieces))
    assert parts["model"]["unk_id"] == tokenizer.special_ids["unk"]
    assert parts["model"]["byte_fallback"] is False
    assert parts["pre_tokenizer"]["prepend_scheme"] == "first"


def test_byte_pairs_merge_to_every_piece(learn: Any) -> None:
    model = learn(model_type="bpe", vocab_size=400, byte_fallback=True)
    tokenizer = make_tokenizer(model)
    parts = sentencepiece_parts(tokenizer, model)["model"]
    assert parts["byte_fallback"] is True
    normal = {piece.piece: piece.score for piece in spm.parse_model(model, name="x").pieces if piece.type == spm.NORMAL}
    assert {left + right for left, right in parts["merges"]} == {piece for piece in normal if len(piece) > 1}
    scores = [normal[left + right] for left, right in parts["merges"]]
    assert scores == sorted(scores, reverse=True)


def test_what_the_library_has_not_is_refused(learn: Any) -> None:
    model = spm.parse_model(learn(model_type="unigram", vocab_size=120), name="x")
    tokenizer = make_tokenizer(model.SerializeToString())
    words = type(model).FromString(model.SerializeToString())
    words.trainer_spec.model_type = 3
    with pytest.raises(ConfigError, match="Received: a model of words or characters"):
        sentencepiece_parts(tokenizer, words.SerializeToString())
    model.pieces[-1].type = spm.USER_DEFINED
    with pytest.raises(ConfigError, match="Received: user-defined pieces, such as"):
        sentencepiece_parts(tokenizer, model.SerializeToString())
