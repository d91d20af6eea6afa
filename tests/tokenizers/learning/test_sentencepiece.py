from __future__ import annotations

import io
import logging
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import sentencepiece

from pipeline.errors import VocabularyError
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.tokenizers.learning.coverage import coverage
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece, split_words
from pipeline.tokenizers.sentencepiece import SentencePieceTokenizer
from pipeline.tokenizers.sentencepiece_model import parse_model

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MODEL_TYPES = ["unigram", "bpe"]
WORDS = {" walk": 20, " talk": 9, " walking": 8, " talking": 7, " walked": 6, " 中国": 5, "ψ": 1}


def pieces(model: bytes) -> list[str]:
    return [piece.piece for piece in parse_model(model, name="it").pieces]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("One word, (two)\twords.", [" One", " word", ",", " (", "two", ")", " words", "."]),
        ("don't... ok", [" don", "'", "t", "...", " ok"]),
        ("3.14\u3000x\xa0y", [" 3", ".", "14", " x", " y"]),
        ("我们去北京。今天，天气「好」！", [" 我们去北京", "。", "今天", "，", "天气", "「", "好", "」！"]),
        ("नमस्ते दुनिया।", [" नमस्ते", " दुनिया", "।"]),
        ("a" * 450, [" " + "a" * 200, "a" * 200, "a" * 50]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [
        " ".join(document)
        for path in source_files(STANDARD_LIBRARY)
        if path.parent.name in ("asyncio", "email", "pydoc_data")
        for document in documents(path)[0]
    ]


@pytest.fixture(scope="module")
def english(texts: list[str]) -> Counter[str]:
    return Counter(word for text in texts[::2] for word in split_words(text))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_cuts_into_as_few_tokens_as_a_model_that_the_library_learns_from_the_text_itself(
    model_type: str, texts: list[str], english: Counter[str]
) -> None:
    own = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts[::2]),
        model_writer=own,
        model_type=model_type,
        vocab_size=2000,
        character_coverage=0.99999,
        max_sentence_length=1 << 20,
        pad_id=3,
        control_symbols=["<mask>"],
        num_threads=1,
        minloglevel=2,
    )
    held_out = Counter(word for text in texts[1::2] for word in text.split())
    from_counts, from_text = (
        coverage(SentencePieceTokenizer(model, lower_case=False), held_out).tokens_per_word
        for model in (learn_sentencepiece(english, model_type=model_type, vocab_size=2000), own.getvalue())
    )
    assert from_counts < 1.01 * from_text


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_is_the_same_in_any_order_of_words_and_process(model_type: str, english: Counter[str]) -> None:
    words = list(english.items())
    random.Random(1).shuffle(words)
    model = learn_sentencepiece(english, model_type=model_type, vocab_size=800)
    assert learn_sentencepiece(dict(words), model_type=model_type, vocab_size=800) == model
    assert b"/tmp" not in model
    code = f"""if True:
        import sys
        from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece
        words = {{word for word in {list(WORDS)!r}}}
        counts = {{word: {WORDS!r}[word] for word in words}}
        sys.stdout.buffer.write(learn_sentencepiece(counts, model_type={model_type!r}, vocab_size=30))"""
    for seed in "12":
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        assert done.stdout == learn_sentencepiece(WORDS, model_type=model_type, vocab_size=30)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_first_the_special_then_the_unused_then_bytes(model_type: str, english: Counter[str]) -> None:
    model = learn_sentencepiece(
        english,
        model_type=model_type,
        vocab_size=600,
        special_tokens=[*SPECIAL, "[URL]"],
        unused_tokens=2,
        byte_fallback=True,
    )
    tokens = pieces(model)
    assert len(tokens) == len(set(tokens)) == 600
    assert tokens[:8] == [*SPECIAL, "[URL]", "[unused0]", "[unused1]"]
    assert tokens[8:264] == [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = SentencePieceTokenizer(model)
    assert tokenizer.special_ids == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert tokenizer.ordinary_ids.tolist() == list(range(8, 600))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_text_is_read_as_its_words_were(model_type: str) -> None:
    """Leading white space and punctuation, though words were counted apart."""
    words = {" walk": 20, " (": 9, "walk": 9, ")": 9, ",": 15, " talk": 30}
    tokenizer = SentencePieceTokenizer(learn_sentencepiece(words, model_type=model_type, vocab_size=24))
    ids = tokenizer.encode(["  walk,  talk "]).ids
    assert "".join(tokenizer.tokens[i] for i in ids) == "▁walk,▁talk"


@pytest.mark.parametrize(("lower_case", "text"), [(True, "walk ﬁ 中 é"), (False, "WALK fi 中 É")])
def test_normalises_and_folds_case_if_asked_to(lower_case: bool, text: str) -> None:
    words = {" WALK": 20, " walk": 20, " ﬁ": 5, " fi": 5, " 中": 3, " É": 3, " é": 3}
    model = learn_sentencepiece(words, model_type="unigram", vocab_size=40, lower_case=lower_case)
    tokenizer = SentencePieceTokenizer(model)
    assert not tokenizer.lower_case  # The model does it.
    assert tokenizer.decode(tokenizer.encode(["WALK ﬁ 中 É"]).ids) == text.replace("ﬁ", "fi")


def test_rare_characters_are_left_out() -> None:
    options: dict[str, Any] = {"model_type": "unigram", "vocab_size": 60}
    assert "ψ" in pieces(learn_sentencepiece(WORDS, character_coverage=1.0, **options))
    assert "ψ" not in pieces(learn_sentencepiece(WORDS, character_coverage=0.99, **options))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_too_few_words_give_fewer_entries_and_a_warning(model_type: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tokens = pieces(learn_sentencepiece(WORDS, model_type=model_type, vocab_size=5000))
    assert len(tokens) < 100
    assert f"{len(tokens)} entries instead of 5000" in caplog.text


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_what_cannot_be_learned(model_type: str) -> None:
    with pytest.raises(VocabularyError, match=r"smaller than required_chars\. 10 vs \d+.*--character-coverage"):
        learn_sentencepiece(WORDS, model_type=model_type, vocab_size=10)
    for words in ({}, {"a": 0}, {"\u200b": 5}):
        with pytest.raises(VocabularyError, match="none"):
            learn_sentencepiece(words, model_type=model_type, vocab_size=100)
