from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.text.config import TextConfig
from pipeline.text.readers import read_documents
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.plan import InputFile, Segment, plan_blocks

TEXT = " Eins. \r\n\r\nZwei.\rDrei.\n"


def segment(path: Path, text_format: str) -> Segment:
    pieces = (1,) if text_format == "parquet" else (path.stat().st_size,)
    file = InputFile(str(path), path.stat().st_size, text_format, pieces=pieces)
    return plan_blocks([file], 1 << 30)[0].segments[0]


def texts(path: Path, text_format: str, config: TextConfig, counts: TextCounts | None = None) -> list[str]:
    counts = TextCounts() if counts is None else counts
    return [document.text for document in read_documents(segment(path, text_format), config, counts)]


def test_each_format_gives_stripped_lines(tmp_path: Path) -> None:
    path = tmp_path / "file"
    config = TextConfig(input=("unused",), text_field="a.body")
    documents = ["Eins.\nZwei.\nDrei."]
    path.write_text('{"a": {"body": " Eins. \\r\\n\\r\\nZwei.\\rDrei.\\n"}}\n')
    assert texts(path, "jsonl", config) == documents
    pq.write_table(pa.table({"a": [{"body": TEXT}]}), path)
    assert texts(path, "parquet", config) == documents
    table = pa.table({"a": [{"body": TEXT}]})
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)
    assert texts(path, "arrow", config) == documents
    for text_format, delimiter in (("csv", ";"), ("tsv", "\t")):
        path.write_bytes(f'id{delimiter}a.body\r\n1{delimiter}"{TEXT}"\r\n'.encode())
        assert texts(path, text_format, config) == documents
    header = f"WARC/1.0\nWARC-Type: conversion\nContent-Type: text/plain\nContent-Length: {len(TEXT)}\n\n"
    path.write_bytes((header + TEXT).encode())
    assert texts(path, "warc", config) == documents
    path.write_bytes(TEXT.encode())
    assert texts(path, "lines", config) == ["Eins.", "Zwei.\nDrei."]
    assert texts(path, "wrapped", config) == ["Eins.\nZwei. Drei."]


def test_options_reach_the_readers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("bad\n")
    drop = CorpusConfig(input=("unused",), output="o", vocab="v", on_bad_text="drop")
    counts = TextCounts()
    assert texts(path, "jsonl", drop, counts) == []
    assert counts == {"dropped/bad_json": 1}
    path.write_text("id,text\n1\n")
    assert texts(path, "csv", drop, counts) == []
    assert counts == {"dropped/bad_json": 1, "dropped/bad_row": 1}
    path.write_text('id,text\n1,"One."')
    no_quotes = TextConfig(input=("unused",), csv_quotes="none")
    assert texts(path, "csv", no_quotes) == ['"One."']
    path.write_text("One.\n\n***\nTwo.\n")
    config = TextConfig(input=("unused",), document_separator="***")
    assert texts(path, "bert", config) == ["One.", "Two."]
