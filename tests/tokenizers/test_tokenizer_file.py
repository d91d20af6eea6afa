"""What the rest of a tokenizer.json does to text is tested with the library, in test_huggingface.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers.pre_tokenizers import ByteLevel

from pipeline.errors import VocabularyError
from pipeline.tokenizers.tokenizer_file import (
    byte_symbols,
    find_special,
    for_plain_text,
    is_tokenizer_file,
    is_unused,
    parse_tokenizer_file,
    rules_of,
    stated_special,
)

IDS = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[MASK]": 3, "<s>": 4, "</s>": 5, "<mask>": 6, "<pad>": 7, "x": 8, "y": 9}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"version":', True),
        (b'\xef\xbb\xbf {\n "model" : {}}', True),
        (b"{\n[PAD]\n", False),
        (b'{\n"\n:\n', False),
        (b"[PAD]\n{\n", False),
        (b"\n\x0e", False),
        (b"", False),
    ],
)
def test_it_is_told_by_its_beginning(data: bytes, expected: bool) -> None:
    assert is_tokenizer_file(data) is expected


def test_a_byte_order_mark_is_skipped() -> None:
    values = {"model": {"type": "BPE"}, "added_tokens": []}
    assert parse_tokenizer_file(b"\xef\xbb\xbf" + json.dumps(values).encode(), name="v") == values
    with pytest.raises(VocabularyError, match="damaged JSON"):
        parse_tokenizer_file(b'{"model": "\xff"}', name="v")


def template(*parts: str) -> dict[str, Any]:
    single = [
        {"Sequence": {"id": "A", "type_id": 0}} if part == "$A" else {"SpecialToken": {"id": part, "type_id": 0}}
        for part in parts
    ]
    return {"type": "TemplateProcessing", "single": single, "pair": []}


@pytest.mark.parametrize(
    ("processor", "cls", "sep"),
    [
        (None, "[CLS]", "[SEP]"),  # The names of BERT come before those of RoBERTa.
        ({"type": "RobertaProcessing", "sep": ["</s>", 5], "cls": ["<s>", 4]}, "<s>", "</s>"),
        ({"type": "BertProcessing", "sep": ["y", 9], "cls": ["x", 8]}, "x", "y"),
        (template("<s>", "$A", "</s>"), "<s>", "</s>"),
        (template("$A", "</s>"), "[CLS]", "</s>"),
        (template("<s>", "$A"), "<s>", "[SEP]"),
        ({"type": "Sequence", "processors": [{"type": "ByteLevel"}, template("x", "$A", "y", "</s>")]}, "x", "y"),
    ],
)
def test_the_tokens_around_text(processor: Any, cls: str, sep: str) -> None:
    values = {"model": {"type": "BPE"}, "post_processor": processor}
    found = find_special(values, IDS, {}, name="v")
    assert (found["cls"], found["sep"]) == (IDS[cls], IDS[sep])
    stated = find_special(values, IDS, {"cls": "[CLS]", "sep": IDS["<pad>"]}, name="v")
    assert (stated["cls"], stated["sep"]) == (IDS["[CLS]"], IDS["<pad>"])


def test_padding_and_unknown_text() -> None:
    def found(**values: Any) -> dict[str, int]:
        return find_special({"model": {"type": "BPE"}, **values}, IDS, {}, name="v")

    assert (found()["pad"], found(padding={"pad_token": "<pad>"})["pad"]) == (0, 7)
    assert "unk" not in found()
    assert found(model={"unk_token": "x"})["unk"] == 8
    assert found(model={"unk_id": 1, "vocab": [["x", 0.0], ["y", 0.0]]})["unk"] == 9
    assert "unk" not in found(model={"unk_token": "[CLS]"})  # Text must not become it.


def test_what_is_missing_is_named() -> None:
    without = {token: index for token, index in IDS.items() if "mask" not in token.lower() and token != "</s>"}
    with pytest.raises(VocabularyError) as caught:
        find_special({"model": {}}, {"[PAD]": 0, "<s>": 1, **{"x": 8}}, {}, name="my/tokenizer.json")
    assert str(caught.value).startswith("my/tokenizer.json must contain special tokens for padding")
    assert "3 tokens, without sep ([SEP], </s>, <sep>, <eos>); mask ([MASK], <mask>, <|mask|>)" in str(caught.value)
    with pytest.raises(VocabularyError, match=r"without mask \(\[MASK\]"):
        find_special({"model": {}}, without, {"mask": "<none>"}, name="v")
    with pytest.raises(VocabularyError, match=r"a separate token for each.*Received: pad: 0, cls: 0"):
        find_special({"model": {}}, IDS, {"cls": 0}, name="v")


def test_a_configuration_states_tokens_or_their_settings() -> None:
    config = {
        "mask_token": {"content": "<mask>", "lstrip": True},
        "cls_token": "<s>",
        "pad_token": None,
        "unk_token": 3,
    }
    assert stated_special(config) == {"mask": "<mask>", "cls": "<s>"}


def test_placeholders() -> None:
    assert all(map(is_unused, ["[unused0]", "[unused82]", "<unused7>", "madeupword0002"]))
    assert not any(map(is_unused, ["[0]", "unused", "[unused]", "madeupword"]))


def test_symbols_of_bytes_are_the_librarys() -> None:
    assert sorted(byte_symbols()) == sorted(ByteLevel.alphabet())
    pieces = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("é \n中")
    assert "".join(byte_symbols()[byte] for byte in "é \n中".encode()) == pieces[0][0]


def test_rules_of_sequences_in_sequences() -> None:
    inner = {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]}
    values = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, inner]}}
    assert [rule["type"] for rule in rules_of(values, "pre_tokenizer")] == ["Digits", "Split", "ByteLevel"]
    assert rules_of({"pre_tokenizer": None}, "pre_tokenizer") == []


def test_special_tokens_are_renamed_wherever_they_are() -> None:
    values = {
        "truncation": {"max_length": 4},
        "added_tokens": [
            {"id": 0, "content": "[MASK]", "normalized": True, "special": True, "lstrip": True},
            {"id": 3, "content": "ab", "normalized": True, "special": False, "lstrip": False},
        ],
        "model": {
            "type": "BPE",
            "dropout": 0.1,
            "unk_token": "[UNK]",
            "vocab": {"[MASK]": 0, "[UNK]": 1, "a": 2, "ab": 3},
            "merges": ["a b", ["[", "MASK]"]],
        },
    }
    kept = json.dumps(values)
    plain = json.loads(for_plain_text(values, {"[MASK]": 0, "[UNK]": 1}))
    assert json.dumps(values) == kept
    assert plain["truncation"] is None
    assert "dropout" not in plain["model"]
    assert plain["model"]["merges"] == ["a b"]
    hidden = plain["added_tokens"][0]
    assert hidden["content"] not in (None, "[MASK]")
    assert (hidden["id"], hidden["normalized"], hidden["lstrip"]) == (0, False, True)
    assert plain["added_tokens"][1] == values["added_tokens"][1]  # type: ignore[index]
    # The model finds its token for unknown text by its name.
    assert plain["model"]["vocab"] == {hidden["content"]: 0, "[UNK]": 1, "a": 2, "ab": 3}
    for special in ({"[MASK]": 0, "[UNK]": 1}, {"[MASK]": 0}):
        assert json.loads(for_plain_text(values, special, mask="[MASK]"))["added_tokens"] == values["added_tokens"]


def test_a_mask_that_is_no_added_token_becomes_one() -> None:
    values = {"added_tokens": [{"id": 9, "content": "x"}], "model": {"type": "Unigram", "vocab": [["<mask>", 0.0]]}}
    assert json.loads(for_plain_text(values, {"<mask>": 0}))["model"]["vocab"] != values["model"]["vocab"]  # type: ignore[index]
    marked = json.loads(for_plain_text(values, {"<mask>": 0}, mask="<mask>"))
    assert marked["model"]["vocab"] == [["<mask>", 0.0]]
    assert [(token["id"], token["content"]) for token in marked["added_tokens"]] == [(0, "<mask>"), (9, "x")]
