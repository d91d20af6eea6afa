from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import VocabularyError
from pipeline.tokenizers import make_tokenizer
from pipeline.tokenizers.vocabulary import check_tokens, is_reserved, parse_vocabulary, read_vocabulary, special_token

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FILE = "".join(f"{token}\n" for token in [*SPECIAL, "a", "##b"])


def test_a_token_a_line() -> None:
    assert parse_vocabulary(FILE.encode(), name="v") == [*SPECIAL, "a", "##b"]


@pytest.mark.parametrize(
    "text", [FILE.replace("\n", "\r\n"), FILE.rstrip("\n"), FILE + "\n\n", FILE.replace("a", " a ")]
)
def test_line_ends_and_white_space_do_not_matter(text: str) -> None:
    assert parse_vocabulary(text.encode(), name="v") == [*SPECIAL, "a", "##b"]


def test_an_empty_line_takes_its_id() -> None:
    assert parse_vocabulary(FILE.replace("a\n", "\na\n").encode(), name="v") == [*SPECIAL, "", "a", "##b"]


def test_empty_lines_take_their_ids_as_often_as_they_come() -> None:
    """As in google-research/bert, where white space of any kind strips to nothing."""
    text = FILE.replace("a\n", "\n\u3000\na\n\n")
    assert parse_vocabulary(text.encode(), name="v") == [*SPECIAL, "", "", "a", "", "##b"]
    tokenizer = make_tokenizer(text.encode())
    assert tokenizer.vocab_size == 10
    assert tokenizer.encode(["a ab", ""]).ids.tolist() == [7, 7, 9]
    assert tokenizer.ordinary_ids.tolist() == [7, 9]


def test_a_byte_order_mark_is_no_part_of_the_first_token() -> None:
    for text in (FILE, FILE.replace("\n", "\r\n")):
        assert parse_vocabulary(text.encode("utf-8-sig"), name="v") == [*SPECIAL, "a", "##b"]


def test_special_tokens_may_stand_anywhere() -> None:
    assert parse_vocabulary("\n".join(["a", *SPECIAL[::-1]]).encode(), name="v") == ["a", *SPECIAL[::-1]]


@pytest.mark.parametrize("token", SPECIAL)
def test_every_special_token_is_needed(token: str) -> None:
    with pytest.raises(VocabularyError) as caught:
        parse_vocabulary(FILE.replace(token + "\n", "").encode(), name="my/vocab.txt")
    message = str(caught.value)
    assert message.startswith("my/vocab.txt must contain the special tokens [PAD], [UNK], [CLS], [SEP] and [MASK].")
    assert f"6 entries, without {token}." in message
    assert message.endswith("Use a BERT vocabulary, or learn one with the vocab command.")


def test_an_empty_file_lacks_them_all() -> None:
    with pytest.raises(VocabularyError, match=r"0 entries, without \[PAD\], \[UNK\], \[CLS\], \[SEP\], \[MASK\]"):
        parse_vocabulary(b"", name="v")


def test_no_token_twice() -> None:
    with pytest.raises(VocabularyError, match=r"once\. Received: 'a' on lines 6 and 8"):
        parse_vocabulary((FILE + "a\n").encode(), name="v")
    with pytest.raises(VocabularyError, match="once"):
        check_tokens([*SPECIAL, "x", "x"], name="v")


def test_must_be_utf8() -> None:
    with pytest.raises(VocabularyError, match=r"v must be UTF-8 text, .* SentencePiece model\. Received: .*0xe9"):
        parse_vocabulary(FILE.encode() + b"caf\xe9\n", name="v")


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(FILE.encode())
    assert read_vocabulary(str(path)) == FILE.encode()
    for wrong in (tmp_path / "gone.txt", tmp_path):
        with pytest.raises(VocabularyError, match=r"There must be a vocabulary at .* learn one from your text"):
            read_vocabulary(str(wrong))


def test_names() -> None:
    assert [special_token(name) for name in ("pad", "unk", "cls", "sep", "mask")] == SPECIAL
    assert all(map(is_reserved, ["[unused0]", "[unused993]", "[MASK]", "[URL]"]))
    assert not any(map(is_reserved, ["[", "]", "[]", "unused0", "[unused0] ", "x[unused0]", "[[a]]"]))
