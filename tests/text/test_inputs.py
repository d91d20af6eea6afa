from __future__ import annotations

import bz2
import dataclasses
import gzip
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.make import make_corpus
from pipeline.errors import ConfigError, InputError
from pipeline.text import inputs
from pipeline.text.config import TextConfig
from pipeline.text.inputs import plan_inputs
from pipeline.text.readers import read_documents
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.formats import FORMATS, Format, ReadingOptions
from pipeline.text.reading.segment import Segment

SENTENCES = "It was a dark night.\nNobody was to be seen!\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file of each kind."""
    (tmp_path / "a.txt").write_text(SENTENCES)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(SENTENCES.encode()))
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": SENTENCES}) + "\n")
    pq.write_table(pa.table({"text": [SENTENCES] * 4}), tmp_path / "d.parquet", row_group_size=2)
    (tmp_path / "empty.txt").write_text("")
    return tmp_path


def test_tables_are_cut_between_their_rows(tmp_path: Path) -> None:
    rows = "".join(f'{i},"It is ""{i}"".\n\nThe next, then."\n' for i in range(1000))
    (tmp_path / "a.csv").write_text("id,text\n" + rows)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"id,text\n" + rows.encode()))
    config = TextConfig(input=(str(tmp_path),), block_bytes=4096)
    plan = plan_inputs(config)
    segments = [segment for block in plan.blocks for segment in block.segments]
    assert [segment.compression for segment in segments[-2:]] == ["", "gzip"]
    assert max(block.bytes for block in plan.blocks[:-1]) < 4096 + 100
    counts = TextCounts()
    found = [[d.text for d in read_documents(s, config, counts)] for s in segments]
    assert len(found) > 8
    assert list(itertools.chain(*found[:-1])) == found[-1] == [f'It is "{i}".\nThe next, then.' for i in range(1000)]
    with pytest.raises(InputError, match=r"a\.csv has no column body\. Received: the columns id, text"):
        plan_inputs(dataclasses.replace(config, text_field="body"))
    (tmp_path / "a.csv").write_bytes(b"id,text\n1,Caf\xc3\xa9.\n".decode().encode("utf-16"))
    with pytest.raises(InputError, match=r"a\.csv is not text in UTF-8\. Received: UTF-16: convert"):
        plan_inputs(config)


def test_each_file_has_its_own_format(folder: Path) -> None:
    plan = plan_inputs(TextConfig(input=(str(folder),)))
    assert [(Path(f.path).name, f.format, f.compression, len(f.pieces)) for f in plan.files] == [
        ("a.txt", "bert", "", 0),
        ("b.txt.gz", "bert", "gzip", 0),
        ("c.jsonl", "jsonl", "", 0),
        ("d.parquet", "parquet", "", 2),
    ]
    assert [segment.format for segment in plan.blocks[0].segments] == ["bert", "bert", "jsonl", "parquet"]
    assert plan.describe()[1] == {
        "path": str(folder / "b.txt.gz"),
        "bytes": (folder / "b.txt.gz").stat().st_size,
        "format": "bert",
        "compression": "gzip",
    }
    assert re.fullmatch(
        r"4 files, 0\.0 MB, format bert, bert gzip, jsonl, parquet \(detected; override with --format\), 1 block",
        str(plan),
    )


def test_of_very_many_files_a_manifest_lists_the_directories(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "more").mkdir()
    for i in range(3):
        (folder / "more" / f"{i}.txt").write_text(SENTENCES)
    monkeypatch.setattr(inputs, "_MOST_LISTED", 6)
    described = plan_inputs(TextConfig(input=(str(folder),))).describe()
    assert [entry["files"] for entry in described] == [1, 1, 1, 1, 3]
    assert described[4] == {"path": f"{folder}/more/", "files": 3, "bytes": 3 * len(SENTENCES), "format": "bert"}
    assert described[1]["compression"] == "gzip"


def test_several_globs_and_a_format_of_ones_own(folder: Path) -> None:
    plan = plan_inputs(TextConfig(input=(f"{folder}/*.txt", f"{folder}/*.gz"), format="lines"))
    assert [file.format for file in plan.files] == ["lines", "lines"]
    assert "detected" not in str(plan)


def test_remote_files_of_every_format(folder: Path, object_store: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        object_store[f"teststore://bucket/{path.name}"] = path.read_bytes()
    plan = plan_inputs(TextConfig(input=("teststore://bucket/*",)))
    local = plan_inputs(TextConfig(input=(str(folder),)))
    assert [file[1:-1] for file in plan.files] == [file[1:-1] for file in local.files]  # But for their times.


def test_tables_and_archives_are_read_alike_from_a_store(tmp_path: Path, object_store: dict[str, bytes]) -> None:
    texts = [f"It is the year {year}.\nThe next one follows." for year in range(300)]
    table = pa.table({"id": list(range(300)), "text": texts})
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=50)
    (tmp_path / "b.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in texts))
    header = "WARC/1.0\nWARC-Type: conversion\nContent-Type: text/plain\nContent-Length: {}\n\n{}\n\n"
    (tmp_path / "c.wet").write_text("".join(header.format(len(text), text) for text in texts))
    for path in tmp_path.iterdir():
        object_store[f"teststore://bucket/{path.name}"] = path.read_bytes()
    found = []
    for folder in (str(tmp_path), "teststore://bucket/*"):
        config = TextConfig(input=(folder,), block_bytes=4000)
        segments = [segment for block in plan_inputs(config).blocks for segment in block.segments]
        assert len(segments) > 6
        found.append([d.text for s in segments for d in read_documents(s, config, TextCounts())])
    assert found[0] == found[1] == texts * 3


def test_inputs_that_cannot_be(folder: Path) -> None:
    with pytest.raises(InputError, match=r"1 empty file .*empty\.txt"):
        plan_inputs(TextConfig(input=(str(folder / "empty.txt"),)))
    with pytest.raises(ConfigError, match=r"d\.parquet must be read as Parquet, .* Received: --format lines"):
        plan_inputs(TextConfig(input=(str(folder),), format="lines"))
    with pytest.raises(ConfigError, match=r"b\.txt\.gz: Parquet compresses internally"):
        plan_inputs(TextConfig(input=(f"{folder}/*.gz",), format="parquet"))
    with pytest.raises(InputError, match=r"a\.txt is not a complete Parquet file"):
        plan_inputs(TextConfig(input=(str(folder / "a.txt"),), format="parquet"))
    with pytest.raises(InputError, match=r"has no column body"):
        plan_inputs(TextConfig(input=(str(folder),), text_field="body"))
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), folder / "none.parquet")
    with pytest.raises(InputError, match="Parquet or Arrow files without rows"):
        plan_inputs(TextConfig(input=(str(folder / "none.parquet"),)))


def test_what_is_no_text_is_refused_before_anything_starts(folder: Path) -> None:
    """Wherever it lies among the others, within a compressed file too."""
    for name, data in {
        "page.txt": b"\x89PNG\r\n",
        "z.bz2": bz2.compress(("It rained.\n" * 50).encode("utf-16-le")),
    }.items():
        (folder / name).write_bytes(data)
        with pytest.raises(
            InputError, match=rf"{re.escape(name)} is not text in UTF-8\. Received: (an image|UTF-16-LE without)"
        ):
            plan_inputs(TextConfig(input=(str(folder),)))
        (folder / name).unlink()


def test_a_damaged_file_is_left_to_its_worker(folder: Path) -> None:
    (folder / "e.jsonl.gz").write_bytes(gzip.compress(SENTENCES.encode())[:-9])
    assert len(plan_inputs(TextConfig(input=(str(folder),))).files) == 5


def test_a_stores_checksums_tell_inputs_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the time, which may stay the same when a text is edited."""
    config = TextConfig(input=(str(folder / "a.txt"), str(folder / "b.txt.gz")))
    before = [file.modified for file in plan_inputs(config).files]
    monkeypatch.setattr(inputs.files, "checksum", {str(folder / "a.txt"): "etag", str(folder / "b.txt.gz"): ""}.get)
    assert [file.modified for file in plan_inputs(config).files] == [f"{before[0]} etag", before[1]]


# === A format of one's own ===


def read_toy(segment: Segment, options: ReadingOptions, counts: TextCounts) -> Iterator[Document]:
    """Documents between bars."""
    with open(segment.path, encoding="utf-8") as stream:
        documents = stream.read().split("|")
    for number, text in enumerate(documents[segment.start : segment.end], start=segment.start + 1):
        yield Document(text, segment.path, f"bar {number}")


def toy_pieces(path: str, options: ReadingOptions) -> tuple[int, ...]:
    with open(path, encoding="utf-8") as stream:
        return tuple(map(len, stream.read().split("|")))


def test_a_format_is_one_reader_and_one_entry(
    tmp_path: Path, vocabulary_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Format("documents between bars", read_toy, endings=(".toy",), pieces=toy_pieces, numbered=True, is_text=False)
    monkeypatch.setitem(FORMATS, "toy", toy)
    documents = [f"It is the year {year}.\nThe next one follows." for year in range(400)]
    (tmp_path / "in.toy").write_text("|".join(documents))
    config = CorpusConfig(
        input=(str(tmp_path / "in.toy"),), output=str(tmp_path / "out"), vocab=vocabulary_path, block_bytes=4096
    )
    manifest = make_corpus(config, show_progress=False)
    assert manifest.inputs[0]["format"] == "toy"
    assert manifest.statistics["text"]["documents_read"] == len(documents)
    assert len({shard.name for shard in manifest.split("train")}) > 2  # Blocks are cut between documents.
    with pytest.raises(ConfigError, match=r"in\.toy must be read as Toy, as its name says"):
        plan_inputs(dataclasses.replace(config, format="lines"))
