"""Vocabularies of byte pairs and unigrams, extended: text without new entries keeps its tokens."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from oracles.tokenizer_files import KINDS, make_tokenizer_file

from pipeline.beam.vocab.config import VocabConfig
from pipeline.beam.vocab.extend import Extended, extend_vocabulary, read_base
from pipeline.errors import VocabularyError
from pipeline.tokenizers import Tokenizer, make_tokenizer
from pipeline.tokenizers.growth import differences, growth
from pipeline.tokenizers.learning.coverage import coverage
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece, split_words
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS

PAGES = Path(__file__).parents[3] / "docs"
STEMS = ["quorvex", "blimtas", "zindle", "marfold", "thresk", "ovundra"]


def general() -> list[str]:
    """Sentences to learn the old vocabulary from."""
    lines = [line.strip() for name in ("training", "inputs") for line in (PAGES / f"{name}.md").read_text().split("\n")]
    return [line for line in lines if len(line.split()) > 3]


def domain() -> list[str]:
    draw = random.Random(7)
    return [
        " ".join(f"the {draw.choice(STEMS)}{draw.choice(['', 's', 'ing'])}" for _ in range(6)) + ", it said."
        for _ in range(120)
    ]


@pytest.fixture(scope="module")
def old_files() -> dict[str, bytes]:
    texts = general()
    found = {kind: make_tokenizer_file(kind, texts, 600) for kind in KINDS}
    # In BERT's own file, placeholders are entries of the model alone.
    bert = json.loads(found["bert"])
    bert["added_tokens"] = [token for token in bert["added_tokens"] if token["content"] != "[unused0]"]
    found["bert"] = json.dumps(bert).encode()
    counts = Counter(word for text in texts for word in split_words(text))
    for kind in ("unigram", "bpe"):
        found[kind] = learn_sentencepiece(counts, model_type=kind, vocab_size=500)
    found["unigram with bytes"] = learn_sentencepiece(counts, model_type="unigram", vocab_size=600, byte_fallback=True)
    return found


def extend(data: bytes, folder: Path, texts: list[str], **options: Any) -> tuple[Tokenizer, Extended]:
    """The old tokenizer, and what became of it."""
    (folder / "old").write_bytes(data)
    config = VocabConfig(
        input=("text",), output=str(folder / "new"), extend=str(folder / "old"), **{"add": 25} | options
    )
    base = read_base(config)
    counts = Counter(word for text in texts for word in text.split())
    return base.tokenizer, extend_vocabulary(config, base, counts)


def rows(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    ids, splits = tokenizer.encode(texts)
    return [ids[start:end].tolist() for start, end in itertools.pairwise(splits)]


@pytest.mark.parametrize("kind", [*KINDS, "unigram", "bpe", "unigram with bytes"])
def test_text_without_new_entries_keeps_its_tokens(kind: str, old_files: dict[str, bytes], tmp_path: Path) -> None:
    old, extended = extend(old_files[kind], tmp_path, domain())
    new = make_tokenizer(extended.data, special=old.special_ids)
    assert differences(old, new) == []
    assert new.special_ids == old.special_ids
    in_unused = extended.in_unused
    assert in_unused == (1 if kind == "bert" else 0)
    assert new.vocab_size == old.vocab_size + len(extended.tokens) - in_unused
    is_unigram = "unigram" in kind or kind == "xlm-r"
    # There are so many words; only byte pairs need what is between.
    assert len(extended.tokens) == (19 if is_unigram or kind == "bert" else 25)
    # Text of the domain needs far fewer tokens, and what is saved was foretold.
    counts = Counter(word for text in domain() for word in text.split())
    before, after = coverage(old, counts).tokens, coverage(new, counts).tokens
    assert after < 0.6 * before
    if not is_unigram:
        assert before - after == extended.saved
    # Of 900 texts, unknown characters among them, most have no new entry, and not one of these another token.
    draw = random.Random(5)
    words = [word for text in general() for word in text.split()]
    texts = general() + [
        " ".join(draw.choice([*words, *STEMS, "中文", "naïve", "<mask>", "☃x"]) for _ in range(4)) for _ in range(600)
    ]
    behind = range(old.vocab_size, new.vocab_size)
    fresh = {*behind, *(i for i, token in enumerate(old.tokens) if new.tokens[i] != token)}
    same = 0
    for theirs, ours in zip(rows(old, texts), rows(new, texts), strict=True):
        if fresh.isdisjoint(ours):
            assert ours == theirs
            same += 1
    assert same > 300
    # Each new entry is cut into its old pieces.
    found = growth(old, new)
    assert found is not None
    assert set(found.new_ids.tolist()) == fresh
    lengths = np.diff(found.row_splits)
    assert (lengths >= 2).all()
    for index, start, end in zip(found.new_ids, found.row_splits[:-1], found.row_splits[1:], strict=True):
        pieces = [old.tokens[piece].removeprefix("##" if kind == "bert" else "") for piece in found.pieces[start:end]]
        assert "".join(pieces) == new.tokens[index].removeprefix("##" if kind == "bert" else "")


@pytest.mark.parametrize("kind", ["roberta", "xlm-r", "unigram", "bpe"])
def test_new_entries_are_words_and_the_bytes_are_the_same(
    kind: str, old_files: dict[str, bytes], tmp_path: Path
) -> None:
    _, first = extend(old_files[kind], tmp_path, domain(), add=40)
    _, second = extend(old_files[kind], tmp_path, domain()[::-1], add=40)
    assert first.data == second.data
    shown = [token.lstrip("Ġ▁") for token in first.tokens]
    assert sum(any(stem in token for token in shown) for stem in STEMS) == len(STEMS)
    assert not any("," in token or "." in token for token in shown if len(token) > 2)


def test_a_unigram_model_can_be_extended_again(old_files: dict[str, bytes], tmp_path: Path) -> None:
    _, first = extend(old_files["unigram"], tmp_path, domain(), add=4)
    old, second = extend(first.data, tmp_path, domain(), add=4)
    assert list(second.tokenizer.tokens[: old.vocab_size]) == list(old.tokens)
    assert not set(first.tokens) & set(second.tokens)


def prefixed() -> bytes:
    """A byte-pair encoding with WordPiece's way of writing."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(SPECIAL_TOKENS), continuing_subword_prefix="##", show_progress=False
    )
    tokenizer.train_from_iterator(general(), trainer)
    return str(tokenizer.to_str()).encode()


def test_what_cannot_be_done_well_is_refused(old_files: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="entries within a word begin with '##', which merges take away"):
        extend(prefixed(), tmp_path, domain())
    values = json.loads(old_files["bert"])
    values["model"] = {"type": "WordLevel", "vocab": values["model"]["vocab"], "unk_token": "[UNK]"}
    with pytest.raises(VocabularyError, match="whose entries are whole words"):
        extend(json.dumps(values).encode(), tmp_path, domain())
    with pytest.raises(VocabularyError, match=r"must have words that .* cuts into pieces"):
        extend(old_files["roberta"], tmp_path, ["the"])
