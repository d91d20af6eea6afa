from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import VocabularyError
from pipeline.tokenizers import make_tokenizer, tokenizer_of_file
from pipeline.tokenizers.casing import casing_of_entries
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece
from pipeline.tokenizers.normalizer import BertNormalizer
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS

# A few words of text, as they stand in it: with capitals, where the script has them.
TEXTS = {
    "Korean": "안녕하세요 저는 학생입니다 오늘 날씨가 좋습니다",
    "Korean with Latin": "안녕하세요 저는 python 학생입니다 오늘 날씨가 좋습니다 web",
    "Hindi": "यह एक छोटा वाक्य है और यह दूसरा हिन्दी",
    "Thai": "วันนี้ อากาศ ดี มาก ผู้หญิง",
    "Japanese": "がぎぐ ひらがな カタカナ ペン",
    "Arabic": "السؤال أين إلى القرآن",
    "Hebrew with points": "שָׁלוֹם לְךָ",
    "French in small letters": "le café était fermé où êtes vous",
    "English": "The River rose and Nobody came",
    "Chinese": "河水上涨 没有人来",
}
# What shows nothing, as the marks of Chinese, of which there are none.
WITHOUT_EVIDENCE = {"Chinese"}


def as_file(entries: list[str]) -> bytes:
    return "\n".join([*SPECIAL_TOKENS, "[unused0]", *entries]).encode()


def entries_of(text: str, *, lower_case: bool) -> list[str]:
    words = BertNormalizer(lower_case=lower_case).words(text)
    return list(dict.fromkeys([*words, *(char for word in words for char in word)]))


@pytest.mark.parametrize("language", TEXTS)
def test_text_is_kept_for_a_vocabulary_learned_from_it_as_it_is(language: str) -> None:
    text = TEXTS[language]
    tokenizer = make_tokenizer(as_file(entries_of(text, lower_case=False)))
    assert not tokenizer.lower_case
    assert tokenizer.special_ids["unk"] not in tokenizer.encode([text]).ids


@pytest.mark.parametrize("language", ["Korean", "Korean with Latin", "French in small letters", "English"])
def test_text_is_lower_cased_for_a_vocabulary_that_shows_that(language: str) -> None:
    text = TEXTS[language]
    tokenizer = make_tokenizer(as_file(entries_of(text, lower_case=True)))
    assert tokenizer.lower_case
    assert tokenizer.special_ids["unk"] not in tokenizer.encode([text, text.upper()]).ids


@pytest.mark.parametrize(
    ("entries", "lower_case", "reason"),
    [
        (["a", "b", "##c"], True, "lower-case letters, no capitals and no accents"),
        (["a", "B"], False, "capital letters"),
        ([*(f"word{i}" for i in range(200)), "NASA"], True, "lower-case letters"),
        (["a", "b", "é"], False, "with accents or marks, such as 'é'"),
        (["ᄒ", "##ᅡ", "##ᆫ"], True, "decomposed Hangul syllables"),
        (["河", "水", "1"], False, "nothing shows"),
        (["1", "-", "!"], False, "nothing shows"),
    ],
)
def test_what_entries_show(entries: list[str], lower_case: bool, reason: str) -> None:
    casing = casing_of_entries(entries)
    assert casing.lower_case is lower_case
    assert reason in casing.reason
    assert casing.certain is (reason != "nothing shows")
    assert make_tokenizer(as_file(entries)).casing == casing


def described(data: bytes, lower_case: bool) -> dict[str, Any]:
    return {"tokenizer": {"sha256": hashlib.sha256(data).hexdigest(), "lower_case": lower_case}}


@pytest.mark.parametrize("lower_case", [False, True])
@pytest.mark.parametrize(
    "file", ["vocab.txt.json", "manifest.json", "run.json", "tokenizer_config.json", "tokenizer.json"]
)
def test_what_a_file_beside_the_vocabulary_says_counts(tmp_path: Path, file: str, lower_case: bool) -> None:
    """Whatever the entries look like; a checksum of another vocabulary tells nothing."""
    data = as_file(["A", "b"] if lower_case else ["a", "b"])
    contents = described(data, lower_case)
    if file == "vocab.txt.json":
        contents = contents["tokenizer"] | {"options": {"lower_case": lower_case, "kind": "wordpiece"}}
    elif file == "tokenizer_config.json":
        contents = {"do_lower_case": lower_case}
    elif file == "tokenizer.json":
        contents = {"normalizer": {"type": "BertNormalizer", "lowercase": lower_case, "strip_accents": None}}
    path = str(tmp_path / "vocab.txt")
    assert tokenizer_of_file(path, data)[0].lower_case is not lower_case
    (tmp_path / file).write_text(json.dumps(contents))
    tokenizer, casing = tokenizer_of_file(path, data)
    assert tokenizer.lower_case is casing.lower_case is lower_case
    assert file in casing.reason
    # Asked for is asked for; other bytes are another vocabulary, but to files without a checksum.
    tokenizer, casing = tokenizer_of_file(path, data, lower_case=not lower_case)
    assert (tokenizer.lower_case, casing.reason) == (not lower_case, "as requested")
    tokenizer, _ = tokenizer_of_file(path, data + b"\n")
    assert tokenizer.lower_case is (lower_case if file.startswith("tokenizer") else not lower_case)


@pytest.mark.parametrize("contents", ["", "{", "[]", "null", '{"tokenizer": 1}', '{"sha256": 1, "do_lower_case": "x"}'])
def test_files_that_tell_nothing_are_passed_over(tmp_path: Path, contents: str) -> None:
    for file in ("vocab.txt.json", "manifest.json", "run.json", "tokenizer_config.json", "tokenizer.json"):
        (tmp_path / file).write_text(contents)
    assert tokenizer_of_file(str(tmp_path / "vocab.txt"), as_file(["a", "b"]))[0].lower_case
    assert not tokenizer_of_file(str(tmp_path / "vocab.txt"), as_file(["a", "B"]))[0].lower_case


def test_a_tokenizer_that_keeps_accents_but_not_capitals_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": false}')
    with pytest.raises(VocabularyError, match=r"or neither\. Received: lower case: True, strip_accents: False"):
        tokenizer_of_file(str(tmp_path / "vocab.txt"), as_file(["a"]))
    assert tokenizer_of_file(str(tmp_path / "vocab.txt"), as_file(["a"]), lower_case=True)[0].lower_case
    # The file tells of the vocabulary of its folder, not of one's own that lies there too.
    assert tokenizer_of_file(str(tmp_path / "mine.txt"), as_file(["a"]))[0].lower_case


@pytest.mark.parametrize("language", ["Korean", "Korean with Latin", "Hindi", "Thai", "Arabic"])
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_sentencepiece_models_keep_the_marks_of_scripts_without_case(language: str, kind: str) -> None:
    counts = {f" {word}": 5 for word in TEXTS[language].split()}
    model = learn_sentencepiece(counts, model_type=kind, vocab_size=120, character_coverage=1.0)
    tokenizer = make_tokenizer(model)
    assert not tokenizer.lower_case
    assert tokenizer.special_ids["unk"] not in tokenizer.encode([TEXTS[language]]).ids
