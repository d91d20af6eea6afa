from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import CorpusError
from pipeline.manifest import read_manifest, write_manifest
from pipeline.training.configs import DataConfig
from pipeline.training.data import files
from pipeline.training.data.files import serialized_records
from pipeline.training.data.loader import build_dataset
from pipeline.training.data.source import open_source


@pytest.fixture
def remote_corpus(write_corpus: Any, tmp_path: Path, object_store: dict[str, bytes]) -> tuple[str, str]:
    """A corpus in a directory, and the same on an object store that TensorFlow does not know."""
    local = write_corpus(tmp_path / "corpus").directory
    for path in local.iterdir():
        object_store[f"teststore://bucket/corpus/{path.name}"] = path.read_bytes()
    return str(local), "teststore://bucket/corpus"


def batches(path: str | tuple[str, ...], count: int, **options: Any) -> list[dict[str, np.ndarray]]:
    config = DataConfig(input_path=path, **{"global_batch_size": 16, "seed": 5} | options)
    return list(build_dataset(config).take(count).as_numpy_iterator())


@pytest.mark.parametrize("is_training", [False, True])
def test_any_file_system_gives_the_same_batches(remote_corpus: tuple[str, str], is_training: bool) -> None:
    local, remote = (batches(path, 12, is_training=is_training) for path in remote_corpus)
    assert len(local) == len(remote) > 1
    for one, other in zip(local, remote, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_files_on_an_object_store_are_counted(remote_corpus: tuple[str, str]) -> None:
    config = DataConfig(input_path=(f"{remote_corpus[1]}/train-*",))
    assert open_source(config).count_examples() == sum(
        shard.examples for shard in read_manifest(remote_corpus[0]).split("train")
    )


def test_gzip_and_many_pieces(
    write_corpus: Any, tmp_path: Path, object_store: dict[str, bytes], monkeypatch: Any
) -> None:
    monkeypatch.setattr(files, "_RECORDS_AT_A_TIME", 7)
    shard = next(write_corpus(tmp_path / "corpus").directory.glob("train-*"))
    path = f"teststore://bucket/{shard.name}.gz"
    object_store[path] = gzip.compress(shard.read_bytes())
    found = list(serialized_records([path, path], "GZIP", like=[path]).as_numpy_iterator())
    assert found == 2 * list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    assert len(found) > 14


def test_a_damaged_remote_file_is_told(remote_corpus: tuple[str, str], object_store: dict[str, bytes]) -> None:
    path = next(path for path in object_store if "/train-" in path)
    object_store[path] = object_store[path][:-1]
    with pytest.raises(tf.errors.OpError, match="cut short"):
        list(serialized_records([path], "", like=[path]))


def test_of_very_many_shards_few_are_looked_at(write_corpus: Any, tmp_path: Path, monkeypatch: Any) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    manifest = read_manifest(str(directory))
    (first, *_), others = manifest.split("train"), manifest.split("validation")
    shards = []
    for number in range(2000):
        name = f"train-{number:05d}-of-02000.tfrecord"
        os.link(directory / first.name, directory / name)
        shards.append(first.__class__(**{**vars(first), "name": name}))
    write_manifest(manifest.__class__(**{**vars(manifest), "shards": (*shards, *others)}), str(directory))
    looked_at: list[str] = []
    getsize = os.path.getsize
    monkeypatch.setattr(os.path, "getsize", lambda path: (looked_at.append(path), getsize(path))[1])
    config = DataConfig(
        input_path=str(directory), is_training=True, seed=3, global_batch_size=4, cycle_length=2, shuffle_buffer_size=8
    )
    origins = {
        path.decode()
        for batch in build_dataset(config, with_origin=True).take(30).as_numpy_iterator()
        for path in batch["origin_path"]
    }
    assert 0 < len(looked_at) <= 100
    assert 2 <= len(origins) < 50
    for shard in shards:  # All others hold nothing that could be read.
        path = directory / shard.name
        if str(path) not in origins:
            path.unlink()
            path.write_bytes(bytes(first.bytes))
    assert len(list(build_dataset(config).take(10))) == 10
    (directory / shards[1234].name).unlink()
    with pytest.raises(CorpusError, match=r"train-01234.*no such file"):
        build_dataset(config)
