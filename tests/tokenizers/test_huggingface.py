from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.tokenizer_files import KINDS, make_tokenizer_file
from tokenizers import Tokenizer

from pipeline.errors import VocabularyError
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.tokenizers import huggingface as module
from pipeline.tokenizers import load_tokenizer, make_tokenizer, tokenizer_of_file
from pipeline.tokenizers.base import TokenBatch
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer

OTHERS = [
    "我们去北京。今天天气很好！",
    "Мы едем в Москву.",
    "Crème brûlée ﬁne e\u0301t\u00e9 😀🏴\u200d☠",
    "",
    "  ",
    "\t x \n",
    "\x00",
]
SPELLED = ["<mask>", "[MASK]", "<s>a</s>", "[CLS] [SEP] [PAD]", "<pad><unk>", "[unused0]", "<|padding|>", "<bos><eos>"]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [
        sentence
        for path in source_files(STANDARD_LIBRARY)
        if path.parent.name in ("email", "pydoc_data")
        for document in documents(path)[0]
        for sentence in document
    ]


@pytest.fixture(scope="module")
def tokenizer_files(texts: list[str]) -> dict[str, bytes]:
    return {kind: make_tokenizer_file(kind, texts[:2000], 900) for kind in KINDS}


@pytest.fixture(scope="module")
def tokenizers(tokenizer_files: dict[str, bytes]) -> dict[str, HuggingFaceTokenizer]:
    return {kind: HuggingFaceTokenizer(data) for kind, data in tokenizer_files.items()}


def library_of(data: bytes) -> Any:
    """The library's own tokenizer, which is asked for all tokens of text, and for them alone."""
    library = Tokenizer.from_str(data.decode())
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = True
    return library


def rows(batch: TokenBatch) -> list[list[int]]:
    assert batch.ids.dtype == np.int32
    assert batch.row_splits.dtype == np.int64
    assert batch.row_splits[-1] == len(batch.ids)
    return [batch.ids[start:end].tolist() for start, end in itertools.pairwise(batch.row_splits)]


def tokens(tokenizer: HuggingFaceTokenizer, ids: Any) -> list[str]:
    return [tokenizer.tokens[index] for index in ids]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_the_librarys_own(
    kind: str, tokenizer_files: dict[str, bytes], tokenizers: dict[str, HuggingFaceTokenizer], texts: list[str]
) -> None:
    sentences = [*texts, *OTHERS]
    library = library_of(tokenizer_files[kind])
    expected = [encoding.ids for encoding in library.encode_batch(sentences, add_special_tokens=False)]
    assert rows(tokenizers[kind].encode(sentences)) == expected
    assert sum(map(len, expected)) > 10_000
    size = tokenizers[kind].vocab_size
    assert list(tokenizers[kind].tokens) == [library.id_to_token(index) for index in range(size)]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_any_text_are_the_librarys_own(
    kind: str,
    tokenizer_files: dict[str, bytes],
    tokenizers: dict[str, HuggingFaceTokenizer],
    any_text: st.SearchStrategy[str],
) -> None:
    library = library_of(tokenizer_files[kind])
    special = {index for name, index in tokenizers[kind].special_ids.items() if name != "unk"}

    @settings(max_examples=60)
    @given(st.lists(any_text, max_size=4))
    def check(sentences: list[str]) -> None:
        encodable = [sentence.encode("utf-8", "ignore").decode() for sentence in sentences]
        found = tokenizers[kind].encode(sentences)
        assert rows(found) == [e.ids for e in library.encode_batch(encodable, add_special_tokens=False)]
        assert special.isdisjoint(found.ids.tolist())

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_text_never_gives_a_special_token(kind: str, tokenizers: dict[str, HuggingFaceTokenizer]) -> None:
    """Even if the model has it among its pieces, as unigrams have; the library would find it there."""
    tokenizer = tokenizers[kind]
    never = set(range(tokenizer.vocab_size)) - set(tokenizer.ordinary_ids.tolist()) - {tokenizer.special_ids["unk"]}
    assert {tokenizer.special_ids[name] for name in ("pad", "cls", "sep", "mask")} <= never
    for text in [*SPELLED, *(f" x {text} y" for text in SPELLED), *map(str.lower, SPELLED)]:
        ids = tokenizer.encode([text]).ids.tolist()
        assert ids
        assert never.isdisjoint(ids), text


def test_text_that_spells_a_special_token_keeps_every_character(tokenizers: dict[str, HuggingFaceTokenizer]) -> None:
    for text in SPELLED:
        assert tokenizers["roberta"].decode(tokenizers["roberta"].encode([text]).ids) == text


def test_tokens_that_are_added_but_not_special_are_the_librarys(tokenizers: dict[str, HuggingFaceTokenizer]) -> None:
    tokenizer = tokenizers["modernbert"]
    ids = tokenizer.encode(["at |||IP_ADDRESS|||, "]).ids
    assert tokens(tokenizer, ids)[2] == "|||IP_ADDRESS|||"
    assert ids[2] in tokenizer.ordinary_ids
    assert tokenizer.word_boundaries.find(ids).tolist()[:4] == [True, True, True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_batches_make_no_difference(
    kind: str, tokenizers: dict[str, HuggingFaceTokenizer], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = [*texts[:50], *OTHERS]
    whole = rows(tokenizers[kind].encode(sentences))
    monkeypatch.setattr(module, "_BATCH", 7)
    assert rows(tokenizers[kind].encode(sentences)) == whole
    assert rows(tokenizers[kind].encode(sentences[::-1]))[::-1] == whole
    assert rows(tokenizers[kind].encode([])) == []


def test_special_tokens_by_role(tokenizers: dict[str, HuggingFaceTokenizer]) -> None:
    found = {
        kind: " ".join(tokens(tokenizer, tokenizer.special_ids.values())) for kind, tokenizer in tokenizers.items()
    }
    bert, roberta = "[PAD] [UNK] [CLS] [SEP] [MASK]", "<pad> <unk> <s> </s> <mask>"
    assert found == {
        "roberta": roberta,
        "modernbert": bert,
        "bert": bert,
        "xlm-r": roberta,
        "gemma": "<pad> <unk> <bos> <eos> <mask>",
        "clip": roberta,
    }
    for kind, left_out in (("bert", "[unused0]"), ("clip", "madeupword0000"), ("modernbert", "<|padding|>")):
        tokenizer = tokenizers[kind]
        assert list(tokenizer.tokens).index(left_out) not in tokenizer.ordinary_ids


def edited(data: bytes, edit: Any) -> bytes:
    values = json.loads(data)
    edit(values)
    return json.dumps(values).encode()


def test_special_tokens_of_other_names(tokenizer_files: dict[str, bytes], tmp_path: Path) -> None:
    def rename(values: Any) -> None:
        for token in values["added_tokens"]:
            token["content"] = {"[MASK]": "<blank>", "[CLS]": "<begin>"}.get(token["content"], token["content"])
        processor = values["post_processor"]
        processor["special_tokens"]["[CLS]"]["tokens"] = ["<begin>"]

    data = edited(tokenizer_files["modernbert"], rename)
    with pytest.raises(VocabularyError, match=r"without mask \(\[MASK\], <mask>, <\|mask\|>\)\. .*tokenizer_config"):
        make_tokenizer(data)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    (tmp_path / "tokenizer_config.json").write_text('{"mask_token": {"content": "<blank>"}, "unk_token": null}')
    tokenizer, casing = tokenizer_of_file(str(path), data)
    assert [tokenizer.tokens[tokenizer.special_ids[name]] for name in ("cls", "mask")] == ["<begin>", "<blank>"]
    assert tokenizer.encode_with_masks("[MASK]") == [tokenizer.special_ids["mask"]]
    assert "normalises it by its own rules" in str(casing)
    # The corpus's copy has no such neighbour; the manifest holds the ids.
    (tmp_path / "tokenizer_config.json").unlink()
    again = load_tokenizer(tokenizer.describe(), str(tmp_path))
    assert again.describe() == tokenizer.describe()
    assert again.encode(["<blank> a"]).ids.tolist() == tokenizer.encode(["<blank> a"]).ids.tolist()


def test_a_token_for_unknown_text_may_be_missing_if_none_is_unknown(tokenizer_files: dict[str, bytes]) -> None:
    def drop_unknown(values: Any) -> None:
        values["added_tokens"] = [token for token in values["added_tokens"] if token["content"] != "<unk>"]
        values["model"]["vocab"]["other"] = values["model"]["vocab"].pop("<unk>")

    tokenizer = HuggingFaceTokenizer(edited(tokenizer_files["roberta"], drop_unknown))
    assert tokenizer.special_ids["unk"] == tokenizer.special_ids["pad"]
    assert "unk" not in tokenizer.own_special_ids

    def drop_byte(values: Any) -> None:
        drop_unknown(values)
        values["model"]["vocab"]["more"] = values["model"]["vocab"].pop("ÿ")

    with pytest.raises(VocabularyError, match=r"unknown text, or one for each byte\. .* without \[UNK\], <unk>"):
        HuggingFaceTokenizer(edited(tokenizer_files["roberta"], drop_byte))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"version": "1.0", "model": {"type": "BP', r"v must be the tokenizer.json .*Received: damaged JSON"),
        (b'{"version": "1.0"}', r"Received: a JSON object of version"),
        (b'{"<s>": 0, "a": 1}', r"Received: the vocab.json of a tokenizer.*AutoTokenizer"),
        (b'{"model": {"type": "Nothing"}, "added_tokens": []}', r"v must be a tokenizer.json that the tokenizers lib"),
        (b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}', r"v must "),
    ],
)
def test_what_is_no_tokenizer_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        make_tokenizer(data, name="v")


def test_a_vocabulary_that_begins_with_a_brace_is_wordpiece(vocabulary: bytes) -> None:
    for start in (b"{\n", b'{\n"\n:\n'):
        rest = vocabulary.replace(b'\n"\n', b"\n").replace(b"\n:\n", b"\n")
        assert make_tokenizer(start + rest).describe().kind == "wordpiece"


def test_random_merges_are_switched_off(tokenizer_files: dict[str, bytes], texts: list[str]) -> None:
    def drop_out(values: Any) -> None:
        values["model"]["dropout"] = 0.5

    tokenizer = HuggingFaceTokenizer(edited(tokenizer_files["roberta"], drop_out))
    expected = HuggingFaceTokenizer(tokenizer_files["roberta"]).encode(texts[:50])
    assert rows(tokenizer.encode(texts[:50])) == rows(expected)


def test_masks_in_texts_to_fill(tokenizer_files: dict[str, bytes], tokenizers: dict[str, HuggingFaceTokenizer]) -> None:
    def found(kind: str, text: str) -> list[str]:
        return tokens(tokenizers[kind], tokenizers[kind].encode_with_masks(text))

    assert found("roberta", "in [MASK] of [MASK]s") == ["in", "<mask>", "Ġof", "<mask>", "s"]
    assert found("modernbert", "in [MASK] of the") == ["in", "[MASK]", "Ġof", "Ġthe"]
    assert found("bert", "The [MASK], of [mask]")[:4] == ["the", "[MASK]", ",", "of"]
    assert found("xlm-r", "the [MASK]") == ["▁the", "<mask>"]
    for kind in KINDS:
        # As the library has it with special tokens.
        library = Tokenizer.from_str(tokenizer_files[kind].decode())
        library.no_truncation()
        library.no_padding()
        text = "It [MASK]s the [MASK] , (value)."
        mask = tokenizers[kind].tokens[tokenizers[kind].special_ids["mask"]]
        expected = library.encode(text.replace("[MASK]", mask), add_special_tokens=False).ids
        assert tokenizers[kind].encode_with_masks(text) == expected
        for plain in ("the value is", "", "<s>"):
            assert tokenizers[kind].encode_with_masks(plain) == tokenizers[kind].encode([plain]).ids.tolist()


def test_lower_case_comes_before_the_tokenizer(tokenizer_files: dict[str, bytes]) -> None:
    lower = HuggingFaceTokenizer(tokenizer_files["roberta"], lower_case=True)
    as_it_is = HuggingFaceTokenizer(tokenizer_files["roberta"])
    assert not as_it_is.lower_case
    assert lower.describe().lower_case
    assert rows(lower.encode(["ÉTÉ\ud800 The"])) == rows(as_it_is.encode(["ete the"]))
    assert lower.encode_with_masks("The [MASK]") == as_it_is.encode_with_masks("the [MASK]")


@pytest.mark.parametrize("kind", KINDS)
def test_decoding(kind: str, tokenizers: dict[str, HuggingFaceTokenizer]) -> None:
    tokenizer = tokenizers[kind]
    text = "the message has a header and values"
    mask = tokenizer.special_ids["mask"]
    ids = tokenizer.encode([text]).ids.tolist()
    assert tokenizer.decode([*ids, mask, mask]) == f"{text} {tokenizer.tokens[mask]} {tokenizer.tokens[mask]}"
    assert tokenizer.decode([]) == ""


def test_a_fork_after_use_neither_warns_nor_hangs(tokenizer_files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_files["roberta"])
    code = """
import os, sys
from pipeline.tokenizers import make_tokenizer
tokenizer = make_tokenizer(open(sys.argv[1], "rb").read())
assert len(tokenizer.encode(["the value"] * 500).ids) > 500
child = os.fork()
assert len(tokenizer.encode(["the value"] * 500).ids) > 500
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0)
"""
    variables = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-c", code, str(tmp_path / "tokenizer.json")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_files_of_old_do_not_name_the_type_of_their_model(
    tokenizer_files: dict[str, bytes], tokenizers: dict[str, HuggingFaceTokenizer], texts: list[str]
) -> None:
    def forget(values: Any) -> None:
        del values["model"]["type"]

    for kind in KINDS:
        old = HuggingFaceTokenizer(edited(tokenizer_files[kind], forget))
        assert rows(old.encode(texts[:200])) == rows(tokenizers[kind].encode(texts[:200]))
        ids = tokenizers[kind].encode(texts[:200]).ids
        assert np.array_equal(old.word_boundaries.find(ids), tokenizers[kind].word_boundaries.find(ids))


def test_an_id_beyond_all_models_is_refused(tokenizer_files: dict[str, bytes]) -> None:
    def misnumber(values: Any) -> None:
        values["model"]["vocab"]["the"] = 4_000_000_000

    with pytest.raises(VocabularyError, match="must number its tokens below 16,777,216"):
        HuggingFaceTokenizer(edited(tokenizer_files["bert"], misnumber))


def test_tokens_of_bytes_are_shown_as_text(texts: list[str]) -> None:
    tokenizer = HuggingFaceTokenizer(make_tokenizer_file("roberta", [*texts[:2000], "Größe " * 5000], 900))
    shown = {tokenizer.show(index) for index in range(tokenizer.vocab_size)}
    assert {"▁the", "▁Größe", "<mask>", "▁"} <= shown
    assert tokenizer.show(tokenizer.tokens.index("Ġthe")) == "▁the"
    half = tokenizer.tokens.index("å")  # The first byte of 北.
    assert tokenizer.show(half) == "å"
