"""The PTransforms within pipelines of one's own, on Beam's local runner."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.transforms.window import FixedWindows

from pipeline.beam import CorpusConfig, MakeExamples, ShardExamples, WriteCorpus, make_corpus
from pipeline.beam.corpus.elements import make_element
from pipeline.errors import ConfigError, OutputError, VocabularyError
from pipeline.inspection.validation.validate import validate_corpus
from pipeline.manifest import MANIFEST_NAME, Manifest, read_manifest
from pipeline.reader import Corpus
from pipeline.records.tfrecord import read_records
from pipeline.tokenizers import load_tokenizer

SHARDS = 3
OPTIONS: dict[str, Any] = {
    "shards": SHARDS,
    "max_seq_length": 48,
    "max_predictions_per_seq": 8,
    "dupe_factor": 2,
    "validation_fraction": 0.2,
}
Write = Callable[..., Manifest]
Contents = Callable[[Path], dict[str, str]]


def runner() -> beam.Pipeline:
    return beam.Pipeline(runner="FnApiRunner")


@pytest.fixture
def texts(documents: list[list[str]]) -> list[str]:
    return ["\n".join(document) for document in documents]


@pytest.fixture
def write(vocabulary_path: str, tmp_path: Path) -> Write:
    """Makes a corpus of a list of documents."""

    def run(documents: Iterable[Any], name: str = "corpus", overwrite: bool = False, **options: Any) -> Manifest:
        make = MakeExamples(vocab=vocabulary_path, **OPTIONS | options)
        with runner() as root:
            _ = root | beam.Create(list(documents)) | make | WriteCorpus(str(tmp_path / name), overwrite=overwrite)
        return read_manifest(str(tmp_path / name))

    return run


def without_output(folder: Path, contents: Contents) -> tuple[dict[str, str], dict[str, Any]]:
    """A corpus's files, and its manifest, but for the directory that it names."""
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    del manifest["options"]["output"]
    return {name: digest for name, digest in contents(folder).items() if name != MANIFEST_NAME}, manifest


# === What comes out ===


@pytest.mark.parametrize(
    "options",
    [
        {"sentence_splitter": "lines"},
        {"pairing": "sentence-order", "bins": (24, 48), "compression": "gzip"},
        {"pairing": "full-sentences", "masking_unit": "word", "validation_fraction": 0.0},
        {"pairing": "doc-sentences", "packing": "best-fit", "masking": "dynamic"},
    ],
    ids=["next-sentence", "sentence-order bins gzip", "full-sentences words", "packed dynamic"],
)
def test_the_same_bytes_in_any_order_and_validate_passes(
    write: Write, texts: list[str], tmp_path: Path, contents: Contents, options: dict[str, Any]
) -> None:
    manifest = write(texts, **options)
    assert validate_corpus(str(tmp_path / "corpus")).problems == []
    assert len(manifest.shards) == SHARDS * (2 if "validation_fraction" not in options else 1) * (
        len(options.get("bins", "1"))
    )
    assert manifest.statistics["text"]["documents"] == len(texts)
    write(random.Random(1).sample(texts, len(texts)), "shuffled", **options)
    assert without_output(tmp_path / "shuffled", contents) == without_output(tmp_path / "corpus", contents)


def test_the_documents_and_the_seed_decide(write: Write, texts: list[str]) -> None:
    first, fewer, seeded = write(texts), write(texts[:-1], "fewer"), write(texts, "seeded", seed=2)
    assert len({manifest.key for manifest in (first, fewer, seeded)}) == 3
    same = {shard.sha256 for shard in first.shards} & {shard.sha256 for shard in fewer.shards}
    assert len(same) >= SHARDS * 2 - 2  # But for the shards of the last document.
    assert {shard.sha256 for shard in first.shards}.isdisjoint(shard.sha256 for shard in seeded.shards)


@pytest.mark.parametrize("options", [{}, {"pairing": "doc-sentences", "packing": "best-fit", "bins": (24, 48)}])
def test_a_shard_is_what_the_job_on_files_makes_of_the_same_documents(
    write: Write, texts: list[str], tmp_path: Path, vocabulary_path: str, options: dict[str, Any]
) -> None:
    options = {**OPTIONS, **options, "sentence_splitter": "lines", "dedup": "none"}
    del options["shards"]
    places = {"input": ("-",), "output": "-", "vocab": vocabulary_path}
    config = CorpusConfig(**options, **places)
    ordered = sorted(make_element(text, config) for text in texts)
    path = tmp_path / "ordered.txt"
    path.write_text("\n\n".join(element.text for element in ordered) + "\n")
    places = {"input": (str(path),), "output": str(tmp_path / "of-files"), "vocab": vocabulary_path}
    of_files = make_corpus(CorpusConfig(**options, **places, format="lines"), show_progress=False)
    of_elements = write(texts, **options, shards=1)
    assert of_elements.shards == of_files.shards
    assert of_elements.statistics == of_files.statistics
    assert of_elements.index == of_files.index
    assert of_elements.spec == of_files.spec
    assert of_elements.tokenizer == of_files.tokenizer


def test_labels_restore_the_text(write: Write, texts: list[str], tmp_path: Path) -> None:
    manifest = write(texts, sentence_splitter="lines", dupe_factor=1)
    folder = str(tmp_path / "corpus")
    tokenizer = load_tokenizer(manifest.tokenizer, folder)
    special = tokenizer.special_ids

    def spelled(ids: list[int]) -> str:
        return "," + "".join(f"{index}," for index in ids)

    known = [spelled(tokenizer.encode([text]).ids.tolist()) for text in texts]

    def places(segment: list[int]) -> set[tuple[int, int]]:
        """The documents that hold a segment, and where it begins in them."""
        found = set()
        for number, ids in enumerate(known):
            begin = ids.find(spelled(segment))
            while begin >= 0:
                found.add((number, ids.count(",", 0, begin)))
                begin = ids.find(spelled(segment), begin + 1)
        return found

    labels, changed = set(), 0
    for example in Corpus(folder):
        count = int(example["masked_lm_weights"].sum())
        positions = example["masked_lm_positions"][:count]
        ids, types = example["input_word_ids"].copy(), example["input_type_ids"]
        changed += int((ids[positions] != example["masked_lm_ids"][:count]).sum())
        ids[positions] = example["masked_lm_ids"][:count]
        ids, types = ids[example["input_mask"] == 1], types[example["input_mask"] == 1]
        first, second = ids[types == 0].tolist(), ids[types == 1].tolist()
        assert (first[0], first[-1], second[-1]) == (special["cls"], special["sep"], special["sep"])
        of_first, of_second = places(first[1:-1]), places(second[:-1])
        assert of_first
        assert of_second
        label = int(example["next_sentence_labels"][0])
        labels.add(label)
        if label == 0:  # B is of A's document. A pair that is too long loses tokens, so they need not meet.
            assert {number for number, _ in of_first} & {number for number, _ in of_second}
        else:
            assert not {(number, begin + len(first) - 2) for number, begin in of_first} & of_second
    assert changed > 100
    assert labels == {0, 1}


def test_examples_for_other_sinks(texts: list[str], vocabulary_path: str, tmp_path: Path) -> None:
    """Serialized examples are those of the shards."""
    output = tmp_path / "corpus"
    with runner() as root:
        examples = root | beam.Create(texts) | MakeExamples(vocab=vocabulary_path, **OPTIONS)
        _ = examples | WriteCorpus(str(output))
        _ = (
            examples
            | beam.FlatMap(ShardExamples.serialized)
            | beam.io.WriteToTFRecord(str(tmp_path / "others"), num_shards=1)
        )
    manifest = read_manifest(str(output))
    ours = []
    for shard in manifest.split("train"):
        with open(output / shard.name, "rb") as stream:
            ours += [record for _, record in read_records(stream, lambda *_: None)]
    (path,) = tmp_path.glob("others*")
    theirs = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert sorted(theirs) == sorted(ours)
    assert len(ours) == manifest.statistics["train"]["examples"] > 100
    assert len(tf.train.Example.FromString(ours[0]).features.feature["input_word_ids"].int64_list.value) == 48


# === What is counted and dropped ===


def test_what_is_dropped_is_counted(write: Write, texts: list[str]) -> None:
    bad: list[Any] = ["", " \n ", "12 34 56", {"text": None}]
    manifest = write([*texts, *bad], on_bad_text="drop")
    text = manifest.statistics["text"]
    assert text["documents_read"] == len(texts) + len(bad)
    assert text["documents"] == len(texts)
    assert text["dropped"] == {"empty": 2, "few_letters": 1, "no_text": 1}
    assert text["dropped_samples"]["few_letters"] == [
        {"file": "a PCollection", "place": "an element", "text": "12 34 56"}
    ]
    (source,) = manifest.inputs
    assert source["path"] == "a PCollection"
    assert source["bytes"] == sum(map(len, texts)) + len(" \n ") + len("12 34 56")


def test_exact_duplicates_are_dropped(write: Write, texts: list[str], tmp_path: Path) -> None:
    others = [text.upper() for text in texts[:20]]  # Alike but for case: in the same shard, and duplicates.
    manifest = write([*texts, *texts, *others], dedup="exact")
    assert manifest.statistics["text"]["dropped"] == {"duplicate": len(texts) + 20}
    assert manifest.statistics["text"]["documents"] == len(texts)
    again = write(reversed([*texts, *texts, *others]), "again", dedup="exact")
    assert again.shards == manifest.shards


def test_shards_without_documents_have_files(write: Write, texts: list[str], tmp_path: Path) -> None:
    manifest = write(texts[:3], shards=8, validation_fraction=0.0)
    assert len(manifest.shards) == 8
    assert 1 <= sum(shard.examples > 0 for shard in manifest.shards) <= 3
    assert validate_corpus(str(tmp_path / "corpus")).problems == []


def test_examples_are_counted_for_runners(texts: list[str], vocabulary_path: str) -> None:
    with runner() as root:
        _ = root | beam.Create(texts) | MakeExamples(vocab=vocabulary_path, **OPTIONS)
    found = root.result.metrics().query(beam.metrics.MetricsFilter().with_name("train_examples"))["counters"]
    assert found[0].committed > 100


# === What is refused ===


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_seq_len": 8}, r"There is no option max_seq_len\. Did you mean max_seq_length"),
        ({"max_seq_length": 4}, "max_seq_length"),
        ({"output": "out"}, r"MakeExamples has no option output: .* Set the directory in WriteCorpus"),
        ({"document_separator": "--"}, r"has no option document_separator: .* Read and separate documents before it"),
        ({"dedup": "near"}, r"dedup must be none or exact in MakeExamples\. Received: 'near'"),
        ({"shards": 0}, r"shards must be a whole number between 1 and 100000\. Received: 0"),
        ({"shards": True}, "shards must be a whole number"),
        ({"shards": 2.0}, "shards must be a whole number"),
    ],
)
def test_options_are_checked_when_the_transform_is_made(
    vocabulary_path: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        MakeExamples(vocab=vocabulary_path, **OPTIONS | options)


def test_a_missing_vocabulary_is_found_when_the_transform_is_made(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"none\.txt"):
        MakeExamples(vocab=str(tmp_path / "none.txt"))


def test_a_windowed_pcollection_is_refused(vocabulary_path: str, texts: list[str]) -> None:
    windowed = beam.Pipeline(runner="FnApiRunner") | beam.Create(texts) | beam.WindowInto(FixedWindows(10))
    with pytest.raises(ConfigError, match=r"needs all documents at once\. Received: an unbounded or windowed"):
        windowed | MakeExamples(vocab=vocabulary_path)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"bytes", r"A document must be a str, .* Received: bytes: b'bytes'\. Decode bytes first"),
        (3, r"Received: int: 3\."),
        (["a", 1], r"Received: list: \['a', 1\]"),
        ({"text": 1.5}, r"in the field text \(text_field\)\. Received: float: 1\.5"),
        ({"body": "a"}, "would have no training examples"),
    ],
)
def test_what_is_no_document_is_refused(write: Write, tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        write([document])
    assert not (tmp_path / "corpus" / MANIFEST_NAME).exists()


def test_a_corpus_is_replaced_only_if_asked(write: Write, texts: list[str], tmp_path: Path) -> None:
    first = write(texts)
    beside = tmp_path / "corpus" / "notes.txt"
    beside.write_text("mine")
    with pytest.raises(OutputError, match=r"already contains files of a corpus.* replace them with WriteCorpus"):
        write(texts)
    assert read_manifest(str(tmp_path / "corpus")) == first
    second = write(texts, overwrite=True, shards=2)
    assert len(second.split("train")) == 2
    assert beside.read_text() == "mine"
    assert validate_corpus(str(tmp_path / "corpus")).problems == []


def test_an_unfinished_corpus_of_the_job_on_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".blocks").mkdir()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"contains files of a corpus\. Received: \.blocks\. Choose another dir"):
            runner() | beam.Create([1]) | WriteCorpus(str(tmp_path), overwrite=overwrite)
    with pytest.raises(ConfigError, match="output must be a directory"):
        WriteCorpus("")


def test_a_corpus_has_every_shard_once(texts: list[str], vocabulary_path: str, tmp_path: Path) -> None:
    """A manifest is written only for all shards of one MakeExamples."""

    def make(name: str, **options: Any) -> Any:
        return name >> MakeExamples(vocab=vocabulary_path, **OPTIONS | options)

    message = r"needs every shard of one MakeExamples once\. Received: {} elements for 3 shards"

    def run(build: Callable[[Any], Any]) -> None:
        with runner() as root:
            _ = build(root | beam.Create(texts)) | WriteCorpus(str(tmp_path / "corpus"), overwrite=True)

    with pytest.raises(Exception, match=message.format(6)):
        run(lambda read: (read | make("A"), read | make("B")) | beam.Flatten())
    with pytest.raises(Exception, match=message.format(2)):
        run(lambda read: read | make("A") | beam.Filter(lambda examples: examples.shard != 1))
    with pytest.raises(Exception, match=r"needs the elements that MakeExamples makes\. Received: str"):
        run(lambda read: read)
    assert not (tmp_path / "corpus" / MANIFEST_NAME).exists()


def test_what_the_transform_writes_can_be_trained_on_in_batches(write: Write, texts: list[str], tmp_path: Path) -> None:
    manifest = write(texts, pairing="doc-sentences", packing="best-fit", masking="dynamic")
    batches = Corpus(str(tmp_path / "corpus")).batches(4)
    assert np.asarray(batches[0]["input_word_ids"]).shape == (4, 48)
    assert manifest.statistics["train"]["padding_share"] < 0.5
