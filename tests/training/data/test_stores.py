"""Records on object stores, and corpora of very many shards."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import CorpusError
from pipeline.manifest import read_manifest, write_index, write_manifest
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset, readable, training_batches
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
    assert open_source(config).examples == sum(
        shard.examples for shard in read_manifest(remote_corpus[0]).split("train")
    )


def test_gzip_of_other_tools_on_an_object_store(
    remote_corpus: tuple[str, str], object_store: dict[str, bytes], tmp_path: Path
) -> None:
    """Read once, and copied into the cache in chunks."""
    shard = next(Path(remote_corpus[0]).glob("train-*"))
    path = f"teststore://bucket/{shard.name}.gz"
    object_store[path] = gzip.compress(shard.read_bytes())
    found = [batch["input_word_ids"] for batch in batches(path, 9, trim=False)]
    expected = [batch["input_word_ids"] for batch in batches(str(shard), 9, trim=False)]
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))
    assert len(np.concatenate(found)) == len(list(tf.data.TFRecordDataset(str(shard))))


def test_a_damaged_remote_file_is_told(remote_corpus: tuple[str, str], object_store: dict[str, bytes]) -> None:
    for path in list(object_store):
        if "/train-" in path:
            object_store[path] = object_store[path][:-1]
    config = DataConfig(input_path=remote_corpus[1], global_batch_size=160, is_training=True)
    with pytest.raises(CorpusError, match=r"teststore://bucket/corpus/train-.*a file that ends before byte"):
        next(readable(build_dataset(config)))


def test_of_very_many_shards_few_are_looked_at(write_corpus: Any, tmp_path: Path, monkeypatch: Any) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    manifest = read_manifest(str(directory))
    (first, *_), others = manifest.split("train"), manifest.split("validation")
    index = (directory / "chunks.bin").read_bytes()
    shards = []
    for number in range(2000):
        name = f"train-{number:05d}-of-02000.tfrecord"
        os.link(directory / first.name, directory / name)
        shards.append(first.__class__(**{**vars(first), "name": name}))
    described = write_index([index[:8] * 2000, index[-16:]], str(directory))
    changed = {"shards": (*shards, *others), "index": described}
    write_manifest(manifest.__class__(**{**vars(manifest), **changed}), str(directory))
    looked_at: list[str] = []
    getsize = os.path.getsize
    monkeypatch.setattr(os.path, "getsize", lambda path: (looked_at.append(path), getsize(path))[1])
    config = DataConfig(input_path=str(directory), is_training=True, seed=3, global_batch_size=4)
    plan = training_batches(config)
    origins = {path for step in range(10) for path, _ in plan.origins(step)}
    assert 0 < len(looked_at) <= 101
    assert 2 <= len(origins) <= 40
    looked_at.clear()
    assert len(list(build_dataset(config).take(10))) == 10
    (directory / shards[1234].name).unlink()
    with pytest.raises(CorpusError, match=r"train-01234.*no such file"):
        build_dataset(config)
