"""The tokenizers under tensorflow/models' names, compared with ours on real prose, and their options."""

from __future__ import annotations

import pydoc
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.tokenizers.normalizer import basic_tokenize
from pipeline.tokenizers.tokenization import BasicTokenizer, FullTokenizer, WordpieceTokenizer, load_vocab
from pipeline.tokenizers.wordpiece import WordPieceTokenizer

VOCAB = Path(__file__).parents[2] / "vocab" / "sample-uncased-8k.txt"
UNICODE = "Ein „Dokument“ – schön. 漢字とかな。हिन्दी 한국어 ΌΔΟΣ ǅ İ \u00ad\u200d\ufffd"


def test_ids_are_those_of_the_tokenizer_of_corpora() -> None:
    tokenizer = FullTokenizer(str(VOCAB))
    ours = WordPieceTokenizer(VOCAB.read_bytes())
    for text in (pydoc.render_doc(pydoc), UNICODE):
        tokens = tokenizer.tokenize(text)
        assert tokenizer.convert_tokens_to_ids(tokens) == ours.encode([text]).ids.tolist()
        assert tokenizer.convert_ids_to_tokens(tokenizer.convert_tokens_to_ids(tokens)) == tokens


@pytest.mark.parametrize("lower_case", [True, False])
def test_defaults_split_as_the_normalizer(lower_case: bool) -> None:
    assert BasicTokenizer(lower_case).tokenize(UNICODE) == basic_tokenize(UNICODE, lower_case=lower_case)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["hao", "[", "unk", "]", "[", "unused7", "]", "\u535a", "!"]),
        ({"strip_accents": False}, ["häo", "[", "unk", "]", "[", "unused7", "]", "\u535a", "!"]),
        ({"do_lower_case": False, "strip_accents": True}, ["Hao", "[", "UNK", "]", "[", "unused7", "]", "\u535a", "!"]),
        ({"never_split": ["[UNK]"]}, ["hao", "[UNK]", "[", "unused7", "]", "\u535a", "!"]),
        ({"preserve_unused_token": True}, ["hao", "[", "unk", "]", "[unused7]", "\u535a", "!"]),
        ({"split_on_punc": False}, ["hao", "[unk]", "[unused7]", "\u535a", "!"]),
        (
            {"split_on_punc": False, "tokenize_chinese_chars": False},
            ["hao", "[unk]", "[unused7]", "\u535a!"],
        ),
    ],
)
def test_options(options: dict[str, object], expected: list[str]) -> None:
    assert BasicTokenizer(**options).tokenize("Häo [UNK] [unused7] \u535a!") == expected  # type: ignore[arg-type]


def test_kept_words_are_looked_up_whole(tmp_path: Path) -> None:
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[unused0]\nword\n[\n")
    assert FullTokenizer(str(vocab)).tokenize("word [unused0]") == ["word", "[", "[UNK]", "[UNK]"]
    assert FullTokenizer(str(vocab), preserve_unused_token=True).tokenize("word [unused0]") == ["word", "[unused0]"]
    with pytest.raises(InputError, match="Cannot read"):
        FullTokenizer(str(tmp_path / "none.txt"))


def test_entries_may_be_characters_that_end_lines_elsewhere(tmp_path: Path) -> None:
    vocab = tmp_path / "vocab.txt"
    vocab.write_bytes("[PAD]\r\n\u2028\n\x85\n word \nlast".encode())
    assert load_vocab(str(vocab)) == {"[PAD]": 0, "\u2028": 1, "\x85": 2, "word": 3, "last": 4}


def test_long_words_are_unknown() -> None:
    tokenizer = WordpieceTokenizer({"a": 0, "##a": 1}, unk_token="?", max_input_chars_per_word=3)
    assert tokenizer.tokenize("aaa aaaa") == ["a", "##a", "##a", "?"]
