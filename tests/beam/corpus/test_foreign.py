"""Records of other tools, described by a manifest."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.beam.corpus.foreign import describe_records
from pipeline.errors import CorpusError, InputError, OutputError
from pipeline.manifest import read_manifest
from pipeline.reader import Corpus
from pipeline.records.spec import RecordSpec, encode_tfrecords
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset

SPEC = RecordSpec(16, 3, feature_names="v1")


@pytest.fixture
def vocab(tmp_path: Path) -> str:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]) + "\n")
    return str(path)


def write(path: Path, examples: int, spec: RecordSpec = SPEC, **values: Any) -> str:
    rng = np.random.default_rng(examples)
    columns = {
        feature.name: np.zeros((examples, feature.length), int)
        for feature in dataclasses.replace(spec, feature_names="v2").features
    }
    columns["input_word_ids"][:] = rng.integers(5, 13, columns["input_word_ids"].shape)
    columns["input_mask"][:, :10] = 1
    columns["masked_lm_weights"] = np.repeat([[1.0, 1.0, 0.0]], examples, 0)[:, : spec.max_predictions_per_seq]
    columns |= values
    path.write_bytes(encode_tfrecords(spec, columns)[0].tobytes())
    return str(path)


def describe(tmp_path: Path, vocab: str, train: list[str], validation: list[str] | None = None) -> Any:
    return describe_records(train, validation or [], vocab, str(tmp_path / "out"), show_progress=False)


def test_everything_is_found_out(tmp_path: Path, vocab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.tfrecord", 5)
    write(tmp_path / "b.tfrecord", 7)
    write(tmp_path / "v.tfrecord", 3)
    monkeypatch.chdir(tmp_path)
    manifest = describe(tmp_path, vocab, ["[ab].tfrecord"], ["v.tfrecord"])
    assert manifest == read_manifest(str(tmp_path / "out"))
    assert manifest.spec == SPEC
    found = [(shard.name, shard.split, shard.examples, shard.tokens, shard.predictions) for shard in manifest.shards]
    assert found == [
        (str(tmp_path / "a.tfrecord"), "train", 5, 50, 10),
        (str(tmp_path / "b.tfrecord"), "train", 7, 70, 14),
        (str(tmp_path / "v.tfrecord"), "validation", 3, 30, 6),
    ]
    assert (manifest.tokenizer.vocab_size, manifest.tokenizer.lower_case) == (13, True)
    before = (tmp_path / "out" / "manifest.json").stat().st_mtime_ns
    describe(tmp_path, vocab, ["[ab].tfrecord"], ["v.tfrecord"])
    assert (tmp_path / "out" / "manifest.json").stat().st_mtime_ns == before
    os.utime(tmp_path / "b.tfrecord", ns=(1, 1))
    with pytest.raises(OutputError, match="describes other records, or an earlier version of the same records"):
        describe(tmp_path, vocab, ["[ab].tfrecord"], ["v.tfrecord"])


def test_lengths_become_bins(tmp_path: Path, vocab: str) -> None:
    files = [
        write(tmp_path / "a.tfrecord", 5),
        write(tmp_path / "b.tfrecord", 4, RecordSpec(12, 2, feature_names="v1")),
    ]
    manifest = describe(tmp_path, vocab, files)
    assert [(shard.max_seq_length, shard.max_predictions_per_seq) for shard in manifest.shards] == [(16, 3), (12, 2)]
    assert manifest.options["bins"] == [12, 16]


@pytest.mark.parametrize("next_sentence", [True, False])
def test_packed_rows_are_recognised(tmp_path: Path, vocab: str, next_sentence: bool) -> None:
    spec = RecordSpec(16, 3, next_sentence=next_sentence, max_sequences_per_row=4)
    shorter = dataclasses.replace(spec, max_seq_length=12)
    write(tmp_path / "a.tfrecord", 5, spec)
    write(tmp_path / "b.tfrecord", 7, shorter)
    manifest = describe(tmp_path, vocab, [str(tmp_path / "[ab].tfrecord")])
    # Without labels, records have no trace of Q: as many sequences as there may be.
    assert manifest.spec == (spec if next_sentence else dataclasses.replace(spec, max_sequences_per_row=5))
    assert (manifest.options["packing"], manifest.options["bins"]) == ("best-fit", [12, 16])
    assert manifest.options["max_sequences_per_row"] == manifest.spec.max_sequences_per_row
    assert manifest == read_manifest(str(tmp_path / "out"))


def test_packed_rows_and_others_do_not_go_together(tmp_path: Path, vocab: str) -> None:
    write(tmp_path / "a.tfrecord", 5, dataclasses.replace(SPEC, max_sequences_per_row=4))
    write(tmp_path / "b.tfrecord", 7)
    with pytest.raises(CorpusError, match="All records must have the same features"):
        describe(tmp_path, vocab, [str(tmp_path / "[ab].tfrecord")])


def test_records_on_an_object_store_are_read(tmp_path: Path, vocab: str, object_store: dict[str, bytes]) -> None:
    for name, examples in (("a", 5), ("b", 7)):
        object_store[f"teststore://bucket/{name}.tfrecord"] = Path(
            write(tmp_path / f"{name}.tfrecord", examples)
        ).read_bytes()
    manifest = describe(tmp_path, vocab, ["teststore://bucket/*.tfrecord"])
    assert [shard.name for shard in manifest.shards] == [f"teststore://bucket/{name}.tfrecord" for name in "ab"]
    data = build_dataset(DataConfig(input_path=str(tmp_path / "out"), global_batch_size=4, is_training=True))
    assert next(iter(data))["input_word_ids"].shape[0] == 4


def test_bad_records_are_named(tmp_path: Path, vocab: str) -> None:
    good = write(tmp_path / "a.tfrecord", 5)
    ids = np.full((4, 16), 6)
    ids[2, 3] = 13
    beyond = write(tmp_path / "b.tfrecord", 4, input_word_ids=ids)
    with pytest.raises(CorpusError, match=r"Record 2 of .*b\.tfrecord.*must be between 0 and 12.*contains 13"):
        describe(tmp_path, vocab, [good, beyond])
    other = write(tmp_path / "c.tfrecord", 4, RecordSpec(16, 3))
    with pytest.raises(CorpusError, match=r"the same features.*Received: other features in .*c\.tfrecord"):
        describe(tmp_path, vocab, [good, other])
    with pytest.raises(InputError, match=r"used for both training and validation.*a\.tfrecord"):
        describe(tmp_path, vocab, [good], [good])
    (tmp_path / "empty.tfrecord").write_bytes(b"")
    with pytest.raises(InputError, match="must not be empty"):
        describe(tmp_path, vocab, [str(tmp_path / "empty.tfrecord")])
    assert not (tmp_path / "out").exists()


def test_gzip_files_are_copied_in_chunks(tmp_path: Path, vocab: str) -> None:
    """So that reading can begin anywhere; the copies hold the same records."""
    plain = [write(tmp_path / f"{name}.tfrecord", examples) for name, examples in (("a", 150), ("b", 70))]
    packed = []
    for path in plain:
        packed.append(path + ".gz")
        Path(packed[-1]).write_bytes(gzip.compress(Path(path).read_bytes()))
    manifest = describe_records(packed, packed[:0], vocab, str(tmp_path / "packed"), show_progress=False)
    assert [shard.name for shard in manifest.shards] == ["train-00000.tfrecord.gz", "train-00001.tfrecord.gz"]
    describe_records(plain, [], vocab, str(tmp_path / "plain"), show_progress=False)
    ours, theirs = (Corpus(str(tmp_path / name)) for name in ("packed", "plain"))
    assert len(ours) == len(theirs) == 220
    for one, other in zip(ours.batches(32, seed=1), theirs.batches(32, seed=1), strict=True):
        for name, column in one.items():
            np.testing.assert_array_equal(column, other[name])
    for path, shard in zip(packed, manifest.shards, strict=True):
        copy = (tmp_path / "packed" / shard.name).read_bytes()
        assert gzip.decompress(copy) == gzip.decompress(Path(path).read_bytes())
        assert (len(copy), hashlib.sha256(copy).hexdigest()) == (shard.bytes, shard.sha256)
