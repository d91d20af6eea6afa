"""What is read is what was written, or an error that names the file and what to do."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from oracles.numbered import gunzipped, number_of, write_numbered

from pipeline import files
from pipeline.errors import CorpusError, UserError
from pipeline.manifest import read_manifest, write_manifest
from pipeline.reader import Corpus
from pipeline.reader import index as index_module
from pipeline.reader.chunks import ChunkFiles
from pipeline.reader.source import open_corpus
from pipeline.records.chunks import ChunkWriter, parse_index, records_per_chunk
from pipeline.records.scanning import index_file
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset, readable

Make = Callable[..., str]


@pytest.fixture(params=["static", "gzip"])
def corpus(request: Any, numbered: Make, tmp_path: Path) -> Path:
    """A corpus to do damage to."""
    return Path(shutil.copytree(numbered(request.param), tmp_path / "corpus"))


def read_all(directory: Path) -> list[dict[str, np.ndarray]]:
    return list(Corpus(str(directory)).batches(24, seed=1))


def shard(directory: Path, number: int = 1) -> Path:
    return sorted(directory.glob("train-*"))[number]


def test_how_many_records_a_chunk_has() -> None:
    assert [records_per_chunk(length) for length in (5, 128, 130, 256, 512, 1024, 8192, 100_000)] == [
        *(64, 64, 63, 32, 16, 8, 1, 1)
    ]


def test_the_index_says_where_chunks_are(corpus: Path) -> None:
    (group,) = open_corpus(str(corpus), "train").bins
    for number, path in enumerate(group.paths):
        data = Path(path).read_bytes()
        found = group.index.of_file(number)
        assert (found.path, found.offsets[-1]) == (path, len(data))
        plain = gunzipped(data) if path.endswith(".gz") else data
        chunks = [ChunkFiles(group).read(number, chunk) for chunk in range(len(found.checksums))]
        assert b"".join(chunk.data.tobytes() for chunk in chunks) == plain
        sizes = [len(chunk.splits) - 1 for chunk in chunks]
        assert sizes[:-1] == [64] * (len(sizes) - 1)
        assert sum(sizes) == group.file_examples[number]
        # TensorFlow reads all members of a GZIP file.
        held = list(tf.data.TFRecordDataset(path, "GZIP" if path.endswith(".gz") else "").as_numpy_iterator())
        assert [chunk.record(i) for chunk in chunks for i in range(len(chunk.splits) - 1)] == held


@pytest.mark.parametrize("compressed", [False, True])
def test_chunks_do_not_depend_on_how_records_are_written(compressed: bool, numbered: Make) -> None:
    from pipeline.records.scanning import scan

    pieces = list(scan(str(next(Path(numbered()).glob("train-*")))))
    (records, splits) = pieces[0]
    found = []
    for cuts in ([], [1, 2, 3], [64], [63, 65, 200, 201], range(1, len(splits) - 1)):
        writer = ChunkWriter(64, compressed=compressed)
        stored = b""
        bounds = [0, *cuts, len(splits) - 1]
        for begin, end in itertools.pairwise(bounds):
            part = records[splits[begin] : splits[end]]
            stored += b"".join(map(bytes, writer.write(part, splits[begin : end + 1] - splits[begin])))
        stored += b"".join(map(bytes, writer.finish()))
        found.append((stored, writer.index()))
    if compressed:  # zlib's blocks depend on what it is given at a time, the contents do not.
        assert {gunzipped(stored) for stored, _ in found} == {records.tobytes()}
    else:
        assert len(set(found)) == 1
    offsets, _ = parse_index(found[0][1])
    assert offsets[-1] == len(found[0][0])


def test_a_flipped_byte_is_named(corpus: Path) -> None:
    path = shard(corpus)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=rf"{path} must be a TFRecord file.*a damaged record \d+"):
        read_all(corpus)


def test_a_shard_that_is_cut_short(corpus: Path) -> None:
    path = shard(corpus)
    source = Corpus(str(corpus))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorpusError, match=rf"Records \d+ to 999 of {path} .*Received: a file that ends before byte"):
        list(source.batches(24, seed=1))
    with pytest.raises(CorpusError, match=rf"{path} must contain [\d,]+ bytes, as the manifest says"):
        read_all(corpus)


def test_an_index_that_is_not_the_corpus_s(corpus: Path, numbered: Make) -> None:
    path = corpus / "chunks.bin"
    good = path.read_bytes()
    path.write_bytes(good[:-8])
    with pytest.raises(CorpusError, match=rf"{path} must contain {len(good)} bytes.*Copy the index again"):
        read_all(corpus)
    path.write_bytes(good[8:] + good[:8])
    with pytest.raises(CorpusError, match=rf"{path} must be the index of the [\d,]+ bytes of .*train-"):
        read_all(corpus)
    # Lengths that add up, of chunks that begin elsewhere.
    entries = np.frombuffer(good, "<u4").reshape(-1, 2).copy()
    entries[0, 0] += 3
    entries[1, 0] -= 3
    path.write_bytes(entries.tobytes())
    with pytest.raises(CorpusError, match=r"must be|a damaged record"):
        read_all(corpus)
    path.unlink()
    with pytest.raises(CorpusError, match=rf"{path} must contain .*no such file"):
        read_all(corpus)


def test_a_corpus_that_is_made_again_while_it_is_read(corpus: Path, tmp_path: Path) -> None:
    """Of the same sizes, so that nothing but checksums can tell."""
    config = DataConfig(input_path=str(corpus), global_batch_size=24, is_training=True)
    batches = readable(build_dataset(config))
    next(batches)
    write_numbered(tmp_path / "other", (700, 1000, 333, 64, 5), compressed=shard(corpus).suffix == ".gz", first=7)
    for path in (tmp_path / "other").glob("train-*"):
        (corpus / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CorpusError) as caught:
        list(itertools.islice(batches, 500))
    message = str(caught.value)
    assert "must be those that its index describes" in message or "damaged record" in message
    assert str(corpus) in message


def test_no_example_of_another_corpus_is_read_in_silence(corpus: Path, tmp_path: Path) -> None:
    """Every chunk that differs is refused, wherever it is."""
    expected = {tuple(number_of(batch)) for batch in read_all(corpus)}
    write_numbered(tmp_path / "other", (700, 1000, 333, 64, 5), compressed=shard(corpus).suffix == ".gz", first=100_000)
    for number in range(5):
        path = shard(corpus, number)
        own = path.read_bytes()
        path.write_bytes((tmp_path / "other" / path.name).read_bytes()[: len(own)].ljust(len(own), b"\0"))
        with pytest.raises(CorpusError):
            read_all(corpus)
        path.write_bytes(own)
    assert {tuple(number_of(batch)) for batch in read_all(corpus)} == expected


def test_a_manifest_that_counts_otherwise(corpus: Path) -> None:
    manifest = read_manifest(str(corpus))
    data = json.loads((corpus / "manifest.json").read_text())
    data["shards"][1]["examples"] -= 1  # As many chunks as before.
    (corpus / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(CorpusError, match=r"must be those that its index describes.*other records"):
        read_all(corpus)
    write_manifest(manifest, str(corpus))
    assert read_all(corpus)


def test_files_without_an_index_are_checked_when_they_are_indexed(tmp_path: Path, numbered: Make) -> None:
    source = next(Path(numbered()).glob("train-*"))
    path = tmp_path / "a.tfrecord"
    whole = source.read_bytes()
    for data, message in (
        (whole[:-1], "cut short"),
        (whole + whole[:5], "its header is cut short"),
        (whole[:700] + bytes([whole[700] ^ 1]) + whole[701:], "the checksum of its (data|length) differs"),
    ):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=rf"{path} must be a TFRecord file.*damaged record \d+: .*{message}"):
            Corpus(str(path))
    packed = tmp_path / "b.tfrecord.gz"
    packed.write_bytes(gzip.compress(whole)[:-30])
    with pytest.raises(CorpusError, match=rf"{packed} must be .*GZIP stream is damaged"):
        Corpus(str(packed))


def test_a_file_that_changes_is_indexed_anew(tmp_path: Path, numbered: Make) -> None:
    path = tmp_path / "a.tfrecord"
    shards = sorted(Path(numbered()).glob("train-*"))
    for source, examples in zip(shards[:3], (700, 1000, 333), strict=True):
        path.write_bytes(source.read_bytes())
        assert len(Corpus(str(path))) == examples


def test_a_damaged_cache_is_made_again(tmp_path: Path, numbered: Make, monkeypatch: Any) -> None:
    monkeypatch.setenv("MLM_PIPELINE_CACHE", str(tmp_path / "cache"))
    source = next(Path(numbered("gzip")).glob("train-*"))
    expected = [number_of(batch) for batch in Corpus(str(source)).batches(24)]
    (index,) = (tmp_path / "cache").glob("*.json")
    (copy,) = (tmp_path / "cache").glob("*.gz")
    for damaged, data in ((index, b"{"), (index, b""), (copy, b"short")):
        damaged.write_bytes(data)
        found = [number_of(batch) for batch in Corpus(str(source)).batches(24)]
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))
    assert json.loads(index.read_text())["path"] == str(source)


def test_where_the_cache_is(monkeypatch: Any) -> None:
    monkeypatch.delenv("MLM_PIPELINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert index_module.cache_directory() == "/somewhere/mlm-pipeline"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert index_module.cache_directory() == "/home/somebody/.cache/mlm-pipeline"


def test_indexing_needs_no_memory_for_the_file(tmp_path: Path, numbered: Make, monkeypatch: Any) -> None:
    """Records that are cut by the pieces that a file is read in."""
    from pipeline.records import scanning

    source = next(Path(numbered()).glob("train-*"))
    whole = index_file(str(source), 64)
    for size in (1, 17, 1000, 4096):
        monkeypatch.setattr(scanning, "_PIECE_BYTES", size)
        assert index_file(str(source), 64) == whole


def test_a_passing_fault_is_not_kept(numbered: Make, monkeypatch: Any) -> None:
    source = open_corpus(numbered(), "train")
    batches = Corpus(numbered()).batches(24, seed=1)
    faults = iter([True, False])
    read_range = files.read_range

    def read(path: str, start: int, length: int) -> bytes:
        if path in source.paths and next(faults, False):
            raise UserError("The network is away")
        return read_range(path, start, length)

    monkeypatch.setattr(files, "read_range", read)
    with pytest.raises(UserError, match="network"):
        batches[0]
    assert len(number_of(batches[0])) == 24


def test_each_chunk_is_read_once_however_many_threads_want_it(numbered: Make, monkeypatch: Any) -> None:
    directory = numbered(sizes=(5000, 5000))
    read: list[tuple[str, int]] = []
    read_range = files.read_range

    def noted(path: str, start: int, length: int) -> bytes:
        read.append((path, start))
        return read_range(path, start, length)

    monkeypatch.setattr(files, "read_range", noted)
    batches = Corpus(directory).batches(50, seed=1, window=20_000)
    steps: Iterator[int] = iter(range(len(batches)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                step = next(steps, None)
            if step is None:
                return
            _ = batches[step]

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shards = [place for place in read if "train-" in place[0]]
    # What is left of each file may be wanted by two windows.
    assert len(shards) <= len(set(shards)) + 2
    assert len(set(shards)) == 2 * 79
