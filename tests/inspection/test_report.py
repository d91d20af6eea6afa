from __future__ import annotations

import dataclasses
import html
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.errors import CorpusError
from pipeline.inspection.corpus import Corpus, open_corpus
from pipeline.inspection.inspect import show_examples
from pipeline.inspection.report import make_report
from pipeline.inspection.report_sample import ReportSample, read_sample
from pipeline.inspection.tables import percent
from pipeline.manifest import read_manifest, write_manifest
from pipeline.records.decoding import decode_examples, read_serialized
from pipeline.records.spec import encode_tfrecords
from pipeline.tokenizers import load_tokenizer

Make = Callable[..., Path]
STATIC = [
    *("Length of examples", "Padding", "Frequency of tokens", "Length of documents", "Documents dropped"),
    *("Examples", "Vocabulary", "Options", "Shards"),
]
ROWS = ["Length of sequences", *STATIC[1:]]


def sample_of(corpus: Corpus, examples: int) -> ReportSample:
    return read_sample(corpus, load_tokenizer(corpus.manifest.tokenizer, corpus.directory), examples)


MASKS = ["Predictions by position", "Replacement of predicted tokens"]


@pytest.mark.parametrize(
    ("options", "sections"),
    [
        ({}, STATIC + MASKS),
        ({"masking": "dynamic"}, STATIC),
        ({"pairing": "sentence-order", "masking_unit": "ngram", "bins": (24, 40, 64)}, STATIC + MASKS),
        ({"pairing": "full-sentences", "masking_unit": "span", "compression": "gzip"}, STATIC + MASKS),
        ({"packing": "best-fit", "bins": (32, 64)}, ["Length of sequences", *STATIC[1:], *MASKS]),
        (
            {"packing": "best-fit", "pairing": "doc-sentences", "masking": "dynamic"},
            ["Length of sequences", *STATIC[1:]],
        ),
    ],
)
def test_the_page_needs_nothing_else(make: Make, options: dict[str, object], sections: list[str]) -> None:
    page = make_report(str(make(**options)), sample_examples=500)
    assert sorted(re.findall(r"<h2>(.*?)</h2>", page)) == sorted(sections)
    assert not re.search(r"<script|<link|<img|url\(|https?:", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count("<svg") >= len(sections) - 5  # Tables and text have none.
    assert "nan" not in page.replace("name", "")


def test_the_page_begins_with_what_is_worth_a_look(make: Make, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(make(), corpus)
    manifest = read_manifest(str(corpus))
    write_manifest(dataclasses.replace(manifest, worth_a_look=("A note with <|marks|>.",)), str(corpus))
    page = make_report(str(corpus), sample_examples=500)
    assert "<h2>Worth a look</h2><ul><li>A note with &lt;|marks|&gt;.</li></ul>" in page
    assert page.index("Worth a look") < page.index("Length of examples")


def test_the_page_tells_what_the_manifest_tells(make: Make) -> None:
    directory = make()
    manifest = open_corpus(str(directory)).manifest
    page = make_report(str(directory), sample_examples=500)
    train = manifest.statistics["train"]
    assert f"<b>{train['examples']:,}</b><span>train examples" in page
    assert f"{train['replaced_by_mask_share']:.2%} (expected 80.00%)" in page
    assert all(f"<td>{shard.name}</td>" in page for shard in manifest.shards)
    assert re.search(r"From [\d,]+ training examples of (1 shard|\d+ shards)[.]", page)


def test_the_page_shows_text_and_its_vocabulary(make: Make) -> None:
    directory = make()
    corpus = open_corpus(str(directory))
    page = make_report(str(directory), sample_examples=10**9)
    shard = next(shard for shard in corpus.manifest.split("train") if shard.examples)
    for text in show_examples(corpus.path(shard), examples=3):
        assert html.escape(text) in page
    sample = sample_of(corpus, 10**9)
    tokenizer = load_tokenizer(corpus.manifest.tokenizer, corpus.directory)
    pieces = sum(n for n, token in zip(sample.token_counts, tokenizer.tokens, strict=True) if token.startswith("##"))
    assert sample.words == sample.token_counts.sum() - pieces
    assert f"{sample.token_counts.sum() / sample.words:.2f} tokens per word" in page
    unused = [entry for entry in tokenizer.ordinary_ids if not sample.token_counts[entry]]
    assert f"{len(unused):,} of {len(tokenizer.ordinary_ids):,} ordinary entries" in page
    most = tokenizer.show(int(sample.token_counts.argmax()))
    assert (
        f"<div><code>{html.escape(most)}</code> {percent(sample.token_counts.max() / sample.token_counts.sum())}"
        in page
    )
    text = corpus.manifest.statistics["text"]
    assert sum(text["document_lengths"].values()) == text["documents"]


def test_the_page_tells_what_packing_saves(make: Make) -> None:
    directory = make(packing="best-fit", pairing="single-sentences")
    corpus = open_corpus(str(directory))
    train = corpus.manifest.statistics["train"]
    page = make_report(str(directory), sample_examples=500)
    assert f"<b>{train['examples']:,}</b><span>train rows" in page
    assert f"<b>{train['sequences'] / train['examples']:.2f}</b><span>sequences in a row" in page
    assert "train, not packed" in page
    assert "share of sequences" in page
    whole = sample_of(corpus, 10**9)
    assert (whole.examples, whole.lengths.sum()) == (train["examples"], train["sequences"])
    assert (whole.lengths * np.arange(len(whole.lengths))).sum() == train["tokens"]


def test_shards_are_listed_by_split_and_length(make: Make) -> None:
    page = make_report(str(make(bins=(24, 40, 64))), sample_examples=500)
    shown = re.findall(r"<td>(train|validation)-len(\d+)-", page)
    assert [split for split, _ in shown] == sorted(split for split, _ in shown)
    for split in ("train", "validation"):
        lengths = [int(length) for each, length in shown if each == split]
        assert lengths == sorted(lengths)
        assert set(lengths) == {24, 40, 64}


def test_the_sample_is_of_all_shards_and_adds_up(make: Make) -> None:
    corpus = open_corpus(str(make()))
    whole = sample_of(corpus, 10**9)
    train = corpus.manifest.statistics["train"]
    assert whole.examples == whole.lengths.sum() == train["examples"]
    assert (whole.lengths * np.arange(len(whole.lengths))).sum() == train["tokens"]
    assert whole.predicted_at.sum() == train["predictions"]
    assert whole.token_counts.sum() == whole.tokens_at.sum() == train["tokens"] - 3 * train["examples"]
    part = sample_of(corpus, 400)
    assert 300 < part.examples < 500


def test_a_foreign_record_is_named(make: Make, tmp_path: Path) -> None:
    """By the report and by inspect, which read alike."""
    directory = tmp_path / "corpus"
    shutil.copytree(make(), directory)
    corpus = open_corpus(str(directory))
    shard = next(shard for shard in corpus.manifest.split("train") if shard.examples)
    path, spec = corpus.path(shard), corpus.manifest.shard_spec(shard)
    original = decode_examples(spec, list(read_serialized(path)))
    for feature, value, message in (
        ("masked_lm_positions", 64, r"masked_lm_positions must be between 0 and 63 .*, but contains 64"),
        ("input_word_ids", 10**6, r"input_word_ids must be between 0 and \d+ \(vocab_size, .*, but contains 1000000"),
    ):
        columns = {name: values.copy() for name, values in original.items()}
        columns[feature][2, 0] = value
        Path(path).write_bytes(encode_tfrecords(spec, columns)[0].tobytes())
        with pytest.raises(CorpusError, match=f"Record 2 of {path} must be a masked-LM example.*{message}"):
            sample_of(corpus, 10**9)
        with pytest.raises(CorpusError, match=f"Record 2 of {path} must be a masked-LM example.*{message}"):
            list(show_examples(path, start=2))


def test_the_command(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert main(["report", str(make()), "--output", str(output), "--examples", "300"]) == 0
    assert output.read_text().startswith("<!DOCTYPE html>")
    assert main(["report", str(tmp_path), "--output", str(output)]) == 2
    assert main(["report", str(make()), "--output", str(output), "--examples", "0"]) == 2
    assert main(["report", str(make()), str(tmp_path), "--output", str(output)]) == 2
