from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import CorpusError
from pipeline.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Manifest,
    Shard,
    TokenizerDescription,
    read_manifest,
    write_manifest,
)
from pipeline.records.spec import RecordSpec

MANIFEST = Manifest(
    key="ab" * 32,
    options={"seed": 1, "input": ["a/ü.txt"], "lower_case": None},
    spec=RecordSpec(128, 20, feature_names="v1"),
    tokenizer=TokenizerDescription("wordpiece", "vocab.txt", "cd" * 32, 100, True, {"pad": 0, "mask": 4}),
    inputs=({"path": "a/ü.txt", "bytes": 12},),
    shards=(
        Shard("train-00000-of-00001.tfrecord", "train", 128, 20, 10, 1000, 150, 9999, "ef" * 32),
        Shard("validation-00000-of-00001.tfrecord", "validation", 64, 10, 1, 100, 15, 999, "01" * 32),
    ),
    statistics={"text": {"documents": 3}, "train": {"masked_share": 0.15}},
    versions={"mlm-pipeline": "0.1.0"},
)


def test_written_and_read_back(tmp_path: Path) -> None:
    write_manifest(MANIFEST, str(tmp_path))
    assert read_manifest(str(tmp_path)) == MANIFEST
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_NAME]


def test_is_plain_json_under_the_contracts_names(tmp_path: Path) -> None:
    write_manifest(MANIFEST, str(tmp_path))
    data = json.loads((tmp_path / MANIFEST_NAME).read_text(encoding="utf-8"))
    assert data["format_version"] == FORMAT_VERSION
    assert data["shards"][0] == dataclasses.asdict(MANIFEST.shards[0])
    assert data["spec"]["max_seq_length"] == 128
    assert data["inputs"] == [{"path": "a/ü.txt", "bytes": 12}]


def test_a_manifest_of_before_packing_is_of_rows_that_are_not_packed(tmp_path: Path) -> None:
    write_manifest(MANIFEST, str(tmp_path))
    data = json.loads((tmp_path / MANIFEST_NAME).read_text(encoding="utf-8"))
    assert data["spec"].pop("max_sequences_per_row") == 0
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(data))
    assert read_manifest(str(tmp_path)) == MANIFEST
    assert not MANIFEST.spec.packed


def test_splits() -> None:
    assert MANIFEST.split("train") == MANIFEST.shards[:1]
    assert MANIFEST.split("validation") == MANIFEST.shards[1:]
    assert MANIFEST.split("test") == ()


def test_a_shard_has_the_shape_of_its_bin() -> None:
    train, validation = MANIFEST.shards
    assert MANIFEST.shard_spec(train) == MANIFEST.spec
    assert MANIFEST.shard_spec(validation) == RecordSpec(64, 10, feature_names="v1")


def test_an_unfinished_corpus_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"not a finished corpus.*Run the corpus job"):
        read_manifest(str(tmp_path))
    with pytest.raises(CorpusError, match="not a finished corpus"):
        read_manifest(str(tmp_path / "nowhere"))


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        data = json.loads(text)
        change(data)
        return json.dumps(data)

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        _edit(lambda data: data.pop("shards")),
        _edit(lambda data: data.pop("format_version")),
        _edit(lambda data: data["shards"][0].pop("sha256")),
        _edit(lambda data: data["shards"][0].update(colour="red")),
        _edit(lambda data: data.update(spec=7)),
        _edit(lambda data: data.update(tokenizer=None)),
        _edit(lambda data: data["spec"].update(max_seq_length="long")),
        _edit(lambda data: data["shards"][0].update(examples=True)),
        _edit(lambda data: data["shards"][0].update(bytes=1.0)),
        _edit(lambda data: data["tokenizer"].update(lower_case=1)),
    ],
)
def test_damage_is_reported(tmp_path: Path, damage: Callable[[str], str]) -> None:
    write_manifest(MANIFEST, str(tmp_path))
    path = tmp_path / MANIFEST_NAME
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"is damaged.*make it again in another directory"):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize("text", ["[]", "3", "null", '"key"', '{"name": "an app", "icons": [], "start_url": "/"}'])
def test_a_manifest_of_another_program_is_no_damaged_corpus(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(
        CorpusError, match=rf"manifest.json was not written by this program: {tmp_path} is not a corpus"
    ):
        read_manifest(str(tmp_path))


def test_bytes_that_are_no_text_are_reported(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(b"\xff\x00\xfe")
    with pytest.raises(CorpusError, match="is damaged"):
        read_manifest(str(tmp_path))


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    write_manifest(dataclasses.replace(MANIFEST, format_version=FORMAT_VERSION + 1), str(tmp_path))
    with pytest.raises(CorpusError, match=f"must have format version {FORMAT_VERSION}. Received: {FORMAT_VERSION + 1}"):
        read_manifest(str(tmp_path))
