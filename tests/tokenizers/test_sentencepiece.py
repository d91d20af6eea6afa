from __future__ import annotations

import io
import itertools
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import CorpusError, VocabularyError
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.tokenizers import load_tokenizer, make_tokenizer, sentencepiece_model
from pipeline.tokenizers import sentencepiece as module
from pipeline.tokenizers.base import TokenBatch
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece, split_words
from pipeline.tokenizers.sentencepiece import SentencePieceTokenizer

# Of scripts with and without spaces; a hundred times each, so that they make pieces of several characters.
SENTENCES = [
    "我们去北京。今天天气很好！我们今天去。",
    "東京に行きました。ありがとうございます。東京タワーはとても高いです。",
    "ขอบคุณมากครับ สวัสดีครับ",
    "Мы едем в Москву, погода хорошая.",
    "오늘은 날씨가 좋습니다.",
    "नमस्ते दुनिया।",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    english = [
        " ".join(document)
        for path in source_files(STANDARD_LIBRARY)
        if path.parent.name in ("asyncio", "email", "pydoc_data")
        for document in documents(path)[0]
    ]
    return english + SENTENCES * 100


@pytest.fixture(scope="module")
def models(texts: list[str]) -> dict[str, bytes]:
    counts = Counter(word for text in texts for word in split_words(text))
    return {
        "unigram": learn_sentencepiece(counts, model_type="unigram", vocab_size=2000),
        "bpe, folded": learn_sentencepiece(counts, model_type="bpe", vocab_size=2000, lower_case=True),
        "unigram, bytes": learn_sentencepiece(
            counts, model_type="unigram", vocab_size=1000, byte_fallback=True, character_coverage=0.999
        ),
        "bpe, bytes": learn_sentencepiece(counts, model_type="bpe", vocab_size=1000, byte_fallback=True),
    }


KINDS = ["unigram", "bpe, folded", "unigram, bytes", "bpe, bytes"]


def train(words: dict[str, int], **options: Any) -> bytes:
    """A model as the library's users make it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f"{word}\t{count}" for word, count in words.items()]),
        model_writer=model,
        input_format="tsv",
        hard_vocab_limit=False,
        minloglevel=2,
        **{"vocab_size": 60, "pad_id": 3, "control_symbols": ["<mask>"]} | options,
    )
    return model.getvalue()


def rows(batch: TokenBatch) -> list[list[int]]:
    assert batch.ids.dtype == np.int32
    assert batch.row_splits.dtype == np.int64
    assert batch.row_splits[-1] == len(batch.ids)
    return [batch.ids[start:end].tolist() for start, end in itertools.pairwise(batch.row_splits)]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_the_librarys_own(kind: str, models: dict[str, bytes], texts: list[str]) -> None:
    tokenizer = SentencePieceTokenizer(models[kind])
    library = sentencepiece.SentencePieceProcessor(model_proto=models[kind])
    sentences = [*texts[:1500], *SENTENCES, "", "  ", "\t x \n"]
    assert rows(tokenizer.encode(sentences)) == library.encode(sentences)
    assert tokenizer.tokens == [library.id_to_piece(i) for i in range(library.vocab_size())]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_any_text_are_the_librarys_own(
    kind: str, models: dict[str, bytes], any_text: st.SearchStrategy[str]
) -> None:
    tokenizer = SentencePieceTokenizer(models[kind])
    library = sentencepiece.SentencePieceProcessor(model_proto=models[kind])

    @settings(max_examples=150, deadline=None)
    @given(st.lists(any_text, max_size=4))
    def check(sentences: list[str]) -> None:
        encodable = [sentence.encode("utf-8", "ignore").decode() for sentence in sentences]
        assert rows(tokenizer.encode(sentences)) == library.encode(encodable)
        assert np.isin(tokenizer.encode(sentences).ids, [0, 2, 3, 4]).sum() == 0

    check()


def test_batches_make_no_difference(
    models: dict[str, bytes], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = SentencePieceTokenizer(models["unigram"])
    whole = tokenizer.encode(texts[:100])
    monkeypatch.setattr(module, "_BATCH", 7)
    cut = tokenizer.encode(texts[:100])
    assert np.array_equal(whole.ids, cut.ids)
    assert np.array_equal(whole.row_splits, cut.row_splits)
    assert rows(tokenizer.encode([])) == []


@pytest.mark.parametrize("kind", KINDS)
def test_text_comes_back(kind: str, models: dict[str, bytes], texts: list[str]) -> None:
    tokenizer = SentencePieceTokenizer(models[kind])
    for text in [*texts[:200], *SENTENCES]:
        ids = tokenizer.encode([text]).ids
        if tokenizer.special_ids["unk"] in ids:
            continue
        normalized = unicodedata.normalize("NFKC", text)
        if "folded" in kind:
            normalized = normalized.casefold()
        assert tokenizer.decode(ids) == " ".join(normalized.split())


@pytest.mark.parametrize("kind", ["unigram, bytes", "bpe, bytes"])
def test_bytes_spell_what_no_piece_does(kind: str, models: dict[str, bytes]) -> None:
    tokenizer = SentencePieceTokenizer(models[kind])
    text = "Ψ 𠀀 and ♞ and 🎈"
    ids = tokenizer.encode([text]).ids
    assert tokenizer.special_ids["unk"] not in ids
    assert tokenizer.decode(ids) == text
    spelled = [i for i in ids.tolist() if tokenizer.tokens[i].startswith("<0x")]
    assert len(spelled) == len("Ψ𠀀♞🎈".encode())
    assert np.isin(spelled, tokenizer.ordinary_ids).all()


def test_what_cannot_be_spelled_is_unknown(models: dict[str, bytes]) -> None:
    tokenizer = SentencePieceTokenizer(models["unigram"])
    ids = tokenizer.encode(["the ♞"]).ids.tolist()
    assert ids[-1] == tokenizer.special_ids["unk"] == 1
    assert tokenizer.decode(ids) == "the [UNK]"


@pytest.mark.parametrize("kind", KINDS)
def test_no_special_id_of_text_that_spells_one(kind: str, models: dict[str, bytes]) -> None:
    tokenizer = SentencePieceTokenizer(models[kind])
    ids = tokenizer.encode([" ".join(SPECIAL), "[MASK]", "a[MASK]b<mask>"]).ids
    assert not np.isin(ids, [0, 2, 3, 4]).any()


@pytest.mark.parametrize("mask", ["[MASK]", "<mask>"])
def test_nor_if_the_model_defines_it_as_a_piece_of_text(mask: str) -> None:
    words = dict.fromkeys(["a", "b", "[MASK]", "<mask>", "<br>"], 9)
    model = train(words, control_symbols=[], user_defined_symbols=[mask, "<br>"], pad_id=3)
    library = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokenizer = SentencePieceTokenizer(model)
    mask_id = tokenizer.special_ids["mask"]
    assert library.id_to_piece(mask_id) == mask
    assert mask_id in library.encode(f"a {mask} b")
    assert mask_id not in tokenizer.encode([f"a {mask} b"]).ids
    assert mask_id not in tokenizer.ordinary_ids
    # What is defined and not special is a piece like any other.
    br = library.piece_to_id("<br>")
    assert br in tokenizer.encode(["a<br>b"]).ids
    assert br in tokenizer.ordinary_ids


def test_the_names_of_special_pieces() -> None:
    words = {"walk": 9, "talk": 5}
    robertas = SentencePieceTokenizer(train(words))
    assert [robertas.tokens[i] for i in robertas.special_ids.values()] == ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    # ALBERT's: <s> and </s> are there, but not what it uses.
    alberts = SentencePieceTokenizer(train(words, control_symbols=["[CLS]", "[SEP]", "[MASK]"]))
    assert [alberts.tokens[i] for i in alberts.special_ids.values()] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert list(alberts.special_ids) == ["pad", "unk", "cls", "sep", "mask"]
    assert set(alberts.ordinary_ids.tolist()).isdisjoint(alberts.special_ids.values())
    assert alberts.tokens.index("<s>") not in alberts.ordinary_ids


def test_a_model_without_special_pieces_is_refused() -> None:
    model = train({"walk": 9}, control_symbols=[], pad_id=-1)
    with pytest.raises(VocabularyError, match=r"mine must contain .* without \[PAD\] or <pad>, \[MASK\] or <mask>"):
        SentencePieceTokenizer(model, name="mine")


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\x05hello", b"\n\x02\n\x00" * 3, bytes(range(256))])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(VocabularyError, match="mine must be a SentencePiece model"):
        SentencePieceTokenizer(data, name="mine")


def test_a_damaged_model_is_refused(models: dict[str, bytes]) -> None:
    whole = models["unigram"]
    for data in (whole[: len(whole) // 2], whole[:-3], whole[:2000] + b"\xff" * 50 + whole[2050:]):
        with pytest.raises(VocabularyError, match="mine must"):
            make_tokenizer(data, name="mine")


def test_lower_case_as_albert(models: dict[str, bytes]) -> None:
    uncased = train({"cafe": 9, "naive": 9, "a": 9}, normalization_rule_name="nmt_nfkc", vocab_size=30)
    library = sentencepiece.SentencePieceProcessor(model_proto=uncased)
    tokenizer = SentencePieceTokenizer(uncased)
    assert tokenizer.lower_case  # It knows no capital letter.
    assert rows(tokenizer.encode(["Café NAÏVE", "A"])) == library.encode(["cafe naive", "a"])
    raw = SentencePieceTokenizer(uncased, lower_case=False)
    assert rows(raw.encode(["Café NAÏVE", "A"])) == library.encode(["Café NAÏVE", "A"])
    for kind in KINDS:  # They know capital letters, or fold them.
        assert not SentencePieceTokenizer(models[kind]).lower_case
        assert SentencePieceTokenizer(models[kind], lower_case=True).lower_case


def test_kana_keep_their_marks_unless_asked_otherwise() -> None:
    model = train({"がぎ": 9, "かき": 5}, vocab_size=20)
    tokenizer = SentencePieceTokenizer(model)
    assert not tokenizer.lower_case
    assert tokenizer.decode(tokenizer.encode(["がぎ"]).ids) == "がぎ"


def words(tokenizer: SentencePieceTokenizer, text: str) -> list[str]:
    """The words of a text as whole-word masking sees them, their pieces joined by a hyphen."""
    ids = tokenizer.encode([text]).ids
    found: list[str] = []
    for index, begins in zip(ids.tolist(), tokenizer.word_boundaries.find(ids).tolist(), strict=True):
        token = tokenizer.tokens[index]
        found.append(token) if begins else found.append(f"{found.pop()}-{token}" if found else f"-{token}")
    return found


@pytest.fixture
def by_letters() -> SentencePieceTokenizer:
    """A model of single characters, and few pieces."""
    pieces = ["▁word", "▁(", "ing", "中国", "です", "ครับ"]
    letters = dict.fromkeys("abcdinorstw中国东京ですครับ한국.'()é", 9)
    model = sentencepiece_model.parse_model(train(letters, vocab_size=400, byte_fallback=True), name="it")
    for index in reversed(range(len(model.pieces))):
        if len(model.pieces[index].piece) > 1 and model.pieces[index].type == sentencepiece_model.NORMAL:
            del model.pieces[index]
    for piece in pieces:
        model.pieces.add(piece=piece, score=5.0)
    return SentencePieceTokenizer(model.SerializeToString(), lower_case=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("words wording", ["▁word-s", "▁word-ing"]),
        ("(bad)", ["▁(", "b-a-d", ")"]),
        ("don't.", ["▁-d-o-n", "'", "t", "."]),
        ("中国中东", ["▁-中国", "中", "东"]),
        ("in中ing", ["▁-i-n", "中", "ing"]),
        ("です東です", ["▁-です", "<0xE6>-<0x9D>-<0xB1>", "です"]),
        ("ครับครับ", ["▁-ครับ", "ครับ"]),
        ("한국 한", ["▁-한-국", "▁-한"]),  # Korean has spaces.
        ("café wordï", ["▁-c-a-<0x66>-é", "▁word-<0xC3>-<0xAF>"]),
        ("b🎈", ["▁-b", "<0xF0>-<0x9F>-<0x8E>-<0x88>"]),
        ("b=a", ["▁-b", "<0x3D>-a"]),
    ],
)
def test_words(by_letters: SentencePieceTokenizer, text: str, expected: list[str]) -> None:
    assert words(by_letters, text) == expected


def test_no_giant_word_in_text_without_spaces(models: dict[str, bytes]) -> None:
    tokenizer = SentencePieceTokenizer(models["unigram"])
    for sentence in SENTENCES[:2]:
        found = words(tokenizer, sentence)
        assert len(found) > 4
    found = words(tokenizer, "the (function) is")
    assert [word.replace("-", "") for word in found] == ["▁the", "▁(", "function", ")", "▁is"]


def test_unknown_text_is_part_of_a_word(models: dict[str, bytes]) -> None:
    tokenizer = SentencePieceTokenizer(models["unigram"])
    assert words(tokenizer, "the ♞ is") == ["▁the", "▁-[UNK]", "▁is"]


def test_masks_in_texts_to_fill(models: dict[str, bytes]) -> None:
    tokenizer = SentencePieceTokenizer(models["unigram"])

    def tokens(text: str) -> list[str]:
        return [tokenizer.tokens[i] for i in tokenizer.encode_with_masks(text)]

    assert tokens("[MASK] the value [MASK].") == ["[MASK]", "▁the", "▁value", "[MASK]", "."]
    assert tokens("the[MASK][MASK] [MASK]") == ["▁the", "[MASK]", "[MASK]", "[MASK]"]
    assert tokens("([MASK] is") == ["▁(", "[MASK]", "▁is"]
    for text in ("the value is", ""):
        assert tokenizer.encode_with_masks(text) == tokenizer.encode([text]).ids.tolist()


def test_masks_of_a_model_that_calls_them_otherwise() -> None:
    tokenizer = SentencePieceTokenizer(train({"ac": 9, "ab": 9}), lower_case=True)
    mask = tokenizer.special_ids["mask"]
    tokens = [tokenizer.tokens[i] for i in tokenizer.encode_with_masks("A [MASK] B")]
    assert " ".join(tokens).replace("▁ ", "▁") == "▁a <mask> ▁b"
    assert tokenizer.decode([mask, *tokenizer.encode(["a b"]).ids]) == "<mask> a b"


def test_loading_what_a_manifest_describes(models: dict[str, bytes], tmp_path: Path) -> None:
    tokenizer = make_tokenizer(models["unigram"], lower_case=True)
    assert isinstance(tokenizer, SentencePieceTokenizer)
    description = tokenizer.describe()
    assert (description.kind, description.vocab_file, description.vocab_size) == ("sentencepiece", "spm.model", 2000)
    assert description.lower_case
    (tmp_path / "spm.model").write_bytes(models["unigram"])
    again = load_tokenizer(description, str(tmp_path))
    assert again.describe() == description
    assert np.array_equal(again.encode(SENTENCES).ids, tokenizer.encode(SENTENCES).ids)
    (tmp_path / "spm.model").write_bytes(models["bpe, folded"])
    with pytest.raises(CorpusError, match="must be the vocabulary that the corpus was made with"):
        load_tokenizer(description, str(tmp_path))


def test_a_vocabulary_tells_its_kind(models: dict[str, bytes], vocabulary: bytes) -> None:
    assert make_tokenizer(vocabulary).describe().kind == "wordpiece"
    assert make_tokenizer(b"\n" + vocabulary).describe().kind == "wordpiece"
    for model in models.values():
        assert make_tokenizer(model).describe().kind == "sentencepiece"
