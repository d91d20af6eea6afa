"""Hostile input, at random: 11,000 cases over every layer between the bytes of a file and a batch."""

from __future__ import annotations

import io
import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.beam.corpus.block import build_block
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.job import plan_corpus
from pipeline.errors import InputError
from pipeline.records.decoding import decode_examples
from pipeline.records.tfrecord import read_records
from pipeline.text.cleaning import PRESETS, clean_document
from pipeline.text.config import TextConfig
from pipeline.text.documents import clean_documents
from pipeline.text.reading.content import _MAGIC
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.plan import InputFile, plan_blocks
from pipeline.text.sentences import split_sentences
from pipeline.tokenizers import SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from pipeline.tokenizers.learning.sentencepiece import learn_sentencepiece, split_words

pytestmark = pytest.mark.slow
PIECES = [
    *["[MASK]", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[unused0]", "<s>", "</s>", "<mask>", "<0x41>", "▁", "##", "##s"],
    *[
        "the river",
        "The",
        "a",
        "I",
        "x" * 201,
        "Mr.",
        "3.",
        "U.S.",
        "...",
        "?!",
        "“",
        "”",
        "’",
        "—",
        "«",
        "。",
        "！",
        "।",
    ],
    *["\n", "\n\n", "\n\n\n\n", "\r", "\r\n", " ", "\t", "\x00", "\x1b", "\x7f", "\x85", "\xa0", "\xad", "\u200b"],
    *["\u2028", "\u3000", "\ufeff", "\ufffd", "Σ", "ΑΣ", "İ", "ß", "é", "e\u0301", "\u0301", "\u0903", "漢字", "かな"],
    *[
        "ไทย",
        "한국",
        "عربي",
        "😀",
        "👩\u200d👩",
        "\U00020000",
        "\ue000",
        "\U0010ffff",
        "{",
        '"',
        '{"text": "The door."}',
    ],
]
TEXT = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), max_size=25).map("".join)
BYTES = st.binary(max_size=60) | TEXT.map(str.encode)
FILES = st.lists(BYTES, max_size=6).map(b"\n".join)


def cases(number: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def without_space(text: str) -> str:
    return "".join(text.split())


# === Text ===


@cases(2500)
@given(data=FILES, text_format=st.sampled_from(["bert", "lines", "wrapped", "jsonl"]), block=st.integers(1, 80))
def test_readers(data: bytes, text_format: str, block: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No byte is lost, and none read twice, wherever the file is cut; nothing but an `InputError` is raised."""
    path = tmp_path_factory.getbasetemp() / "fuzz-reader.txt"
    path.write_bytes(data)
    options = {"input": (str(path),), "format": text_format, "cleaning": "none", "on_bad_text": "drop"}
    if text_format != "jsonl":
        options["on_bad_text"] = "replace"
    config = TextConfig(**options)

    def read(block_bytes: int) -> tuple[list[str], TextCounts]:
        counts = TextCounts()
        blocks = plan_blocks([InputFile(str(path), len(data), text_format)], block_bytes)
        segments = [segment for block in blocks for segment in block.segments]
        return [document.text for segment in segments for document in clean_documents(segment, config, counts)], counts

    try:
        whole, counts = read(1 << 20)
    except InputError:  # The head of another kind of file.
        with pytest.raises(InputError):
            read(block)
        return
    for document in whole:
        assert document.strip()
        document.encode()
    cut, cut_counts = read(block)
    if not cut_counts["documents_cut"]:
        assert cut == whole
    if not (counts["bad_text_documents"] or cut_counts["bad_text_documents"]) and text_format != "jsonl":
        assert without_space("".join(cut)) == without_space("".join(whole))


@cases(1500)
@given(text=st.lists(TEXT | st.text(), max_size=5).map("\n".join), preset=st.sampled_from(sorted(PRESETS)))
def test_cleaner(text: str, preset: str) -> None:
    counts = TextCounts()
    document = clean_document(
        Document(text, "a.txt", "document 1"), PRESETS[preset], drop_bad_text=False, counts=counts
    )
    dropped = [name for name in counts if name.startswith("dropped/")]
    assert len(dropped) == len(counts.dropped) == (document is None)
    json.dumps(counts.dropped, ensure_ascii=False).encode()
    if document is None:
        return
    clean = document.text
    clean.encode()
    if PRESETS[preset].normalize:
        assert unicodedata.is_normalized("NFC", clean)
        assert not [char for char in clean if unicodedata.category(char) == "Cc" and char not in "\n\t"]
        again = clean_document(document, PRESETS[preset], drop_bad_text=True, counts=TextCounts())
        assert again == document


@cases(1500)
@given(text=st.lists(TEXT, max_size=4).map("\n".join))
def test_splitter(text: str) -> None:
    sentences = split_sentences(text)
    assert without_space("".join(sentences)) == without_space(text)
    for sentence in sentences:
        assert sentence == sentence.strip() != ""
        assert "\n" not in sentence


# === Tokens ===


@pytest.fixture(scope="module")
def wordpiece(vocabulary: bytes) -> Tokenizer:
    return WordPieceTokenizer(vocabulary)


@pytest.fixture(scope="module")
def sentencepiece(documents: list[list[str]]) -> Tokenizer:
    counts = Counter(word for document in documents for word in split_words("\n".join(document)))
    return SentencePieceTokenizer(
        learn_sentencepiece(counts, model_type="unigram", vocab_size=400, lower_case=True, byte_fallback=True)
    )


def check_tokens(tokenizer: Tokenizer, texts: list[str]) -> None:
    ids, splits = tokenizer.encode(texts)
    assert splits[0] == 0
    assert len(splits) == len(texts) + 1
    assert (np.diff(splits) >= 0).all()
    assert splits[-1] == len(ids)
    assert ((ids >= 0) & (ids < tokenizer.vocab_size)).all()
    never = [tokenizer.special_ids[name] for name in ("pad", "cls", "sep", "mask")]
    assert not np.isin(ids, never).any()
    for row, text in enumerate(texts):
        alone = tokenizer.encode([text]).ids
        np.testing.assert_array_equal(ids[splits[row] : splits[row + 1]], alone)


@cases(2000)
@given(texts=st.lists(TEXT | st.text(), max_size=5))
def test_wordpiece(texts: list[str], wordpiece: Tokenizer) -> None:
    check_tokens(wordpiece, texts)


@cases(1000)
@given(texts=st.lists(TEXT | st.text(), max_size=5))
def test_sentencepiece(texts: list[str], sentencepiece: Tokenizer) -> None:
    check_tokens(sentencepiece, texts)


# === Examples ===

OPTIONS = st.fixed_dictionaries(
    {
        "pairing": st.sampled_from(
            ["next-sentence", "sentence-order", "full-sentences", "doc-sentences", "single-sentences"]
        ),
        "masking_unit": st.sampled_from(["token", "word", "ngram", "span"]),
        "max_seq_length": st.integers(5, 40),
        "max_predictions_per_seq": st.integers(1, 5),
        "short_seq_prob": st.sampled_from([0.0, 0.1, 1.0]),
        "dupe_factor": st.integers(1, 3),
        "masked_lm_prob": st.sampled_from([0.01, 0.15, 1.0]),
        "validation_fraction": st.sampled_from([0.0, 0.5]),
        "cleaning": st.sampled_from(["none", "default"]),
        "format": st.sampled_from(["bert", "lines", "wrapped"]),
        "seed": st.integers(0, 2**31),
    }
)


@cases(2500)
@given(data=FILES, options=OPTIONS)
def test_blocks(data: bytes, options: dict[str, Any], vocabulary_path: str, tmp_path: Path) -> None:
    """From bytes to shards: every record is whole, and its mask can be undone."""
    (tmp_path / "out").mkdir(exist_ok=True)
    path = tmp_path / "text.txt"
    path.write_bytes(data + b"\nThe river. The ship follows the old captain.\n")
    config = CorpusConfig(input=(str(path),), output=str(tmp_path / "out"), vocab=vocabulary_path, **options)
    try:
        job, plan = plan_corpus(config)
        tokenizer = job.tokenizer()
        result = build_block(plan.blocks[0], blocks=1, config=job.config, tokenizer=tokenizer)
    except InputError:
        assert not data[:1].isalnum() or data.startswith(tuple(_MAGIC))  # The head of another kind of file.
        return
    for shard in result.shards:
        stream = io.BytesIO((tmp_path / "out" / shard.name).read_bytes())
        records = [record for _, record in read_records(stream, lambda number, what: pytest.fail(what))]
        assert len(records) == shard.examples
        if records:
            check_examples(decode_examples(config.specs()[0], records), tokenizer, config)


def check_examples(columns: dict[str, np.ndarray], tokenizer: Tokenizer, config: CorpusConfig) -> None:
    special = tokenizer.special_ids
    ids, mask, types = (columns[name] for name in ("input_word_ids", "input_mask", "input_type_ids"))
    positions, weights = columns["masked_lm_positions"], columns["masked_lm_weights"]
    lengths = mask.sum(axis=1)
    rows = np.arange(len(ids))
    assert (mask == (np.arange(ids.shape[1]) < lengths[:, np.newaxis])).all()
    assert (ids[mask == 0] == special["pad"]).all()
    assert (ids[:, 0] == special["cls"]).all()
    assert (ids[rows, lengths - 1] == special["sep"]).all()
    assert ((types == 0) | (types == 1)).all()
    number = weights.sum(axis=1).astype(int)
    assert (number >= 0).all()
    for row in rows:
        chosen = positions[row, : number[row]]
        assert (np.diff(chosen) > 0).all()
        original = ids[row].copy()
        assert not np.isin(original[chosen], [special["cls"], special["sep"], special["pad"]]).any()
        original[chosen] = columns["masked_lm_ids"][row, : number[row]]
        inner = original[1 : lengths[row] - 1]
        # What text gives is never special but [UNK]; separators stand between segments and packed documents.
        assert not np.isin(inner, [special["cls"], special["pad"], special["mask"]]).any()
        assert number[row] <= min(config.max_predictions_per_seq, max(1, round(lengths[row] * config.masked_lm_prob)))
