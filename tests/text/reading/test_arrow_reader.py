from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.text.reading.arrow_reader import read_arrow, sizes_of_messages
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.plan import InputFile, plan_blocks

TEXTS = [f"Text {i} – of a row.\nIts second line. {'word ' * (i % 50)}" for i in range(1000)]
KINDS: dict[str, Any] = {"stream": pa.ipc.new_stream, "file": pa.ipc.new_file}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "texts.arrow"


def write(path: Path, columns: dict[str, Any], kind: str = "stream", rows: int = 100, **options: Any) -> None:
    table = pa.table(columns)
    with KINDS[kind](str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)


def read(path: Path, block_bytes: int = 1 << 30, text_field: str = "text") -> tuple[list[list[str]], TextCounts]:
    """The texts of each block, and the counts."""
    counts = TextCounts()
    file = InputFile(str(path), path.stat().st_size, "arrow", pieces=sizes_of_messages(str(path), text_field))
    assert sum(file.pieces) in (0, file.bytes)
    segments = [segment for block in plan_blocks([file], block_bytes) for segment in block.segments]
    documents = [list(read_arrow(segment, text_field=text_field, counts=counts)) for segment in segments]
    return [[document.text for document in block] for block in documents], counts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"compression": "lz4"}])
def test_blocks_of_any_size_give_every_row_once(path: Path, kind: str, options: dict[str, Any]) -> None:
    labels = pa.array(["a", "b"] * 500).dictionary_encode()
    write(path, {"label": labels, "text": TEXTS, "id": list(range(1000))}, kind, **options)
    for block_bytes, blocks in ((1, 10), (40_000, None), (1 << 30, 1)):
        found, counts = read(path, block_bytes)
        assert [text for block in found for text in block] == TEXTS
        assert not counts
        assert blocks is None or len(found) == blocks


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.binary()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS, pa.json_()),
    ],
    ids=["large_string", "binary", "dictionary", "string_view", "json"],
)
def test_all_kinds_of_text(path: Path, column: Any) -> None:
    write(path, {"text": column}, rows=1000)
    assert read(path)[0] == [TEXTS]


def test_no_value_is_counted_and_invalid_utf8_read_as_surrogates(path: Path) -> None:
    write(path, {"text": pa.array([b"One.", None, b"Caf\xe9", b""], pa.binary())})
    assert read(path) == ([["One.", "Caf\udce9", ""]], {"dropped/no_text": 1})


def test_nested_columns_and_names_with_dots(path: Path) -> None:
    rows = [{"a": {"b": "One.", "c": 1}}, {"a": None}, None, {"a": {"b": "Two.", "c": 2}}]
    write(path, {"id": list(range(4)), "content": rows})
    assert read(path, text_field="content.a.b") == ([["One.", "Two."]], {"dropped/no_text": 2})
    write(path, {"doc": [{"text": "Nested."}], "doc.text": ["Flat."]})
    assert read(path, text_field="doc.text")[0] == [["Flat."]]


def test_places_count_from_the_segment(path: Path) -> None:
    write(path, {"text": TEXTS})
    pieces = sizes_of_messages(str(path), "text")
    blocks = plan_blocks([InputFile(str(path), path.stat().st_size, "arrow", pieces=pieces)], 1)
    first, second = (
        next(read_arrow(block.segments[0], text_field="text", counts=TextCounts())).place for block in blocks[:2]
    )
    assert (first, second) == ("row 1", f"row 1 after byte {pieces[0]:,}")


def test_a_file_without_rows(path: Path) -> None:
    write(path, {"text": pa.array([], pa.string())})
    assert sizes_of_messages(str(path), "text") == ()


def test_a_column_that_is_missing_or_no_text(path: Path) -> None:
    write(path, {"id": [1], "body": ["One."], "parts": [["One."]]})
    with pytest.raises(InputError, match=r"has no column text\. Received: the columns id, body, parts\. Name"):
        read(path)
    for text_field, kind in (("id", "int64"), ("parts", "list")):
        with pytest.raises(InputError, match=rf"The column {text_field} of .* must contain text.* Received: {kind}"):
            read(path, text_field=text_field)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_an_error_that_names_the_file(path: Path, kind: str) -> None:
    write(path, {"text": TEXTS}, kind)
    whole = path.read_bytes()
    pieces = sizes_of_messages(str(path), "text")
    (block,) = plan_blocks([InputFile(str(path), len(whole), "arrow", pieces=pieces)], 1 << 30)
    end = sum(pieces[:-1])  # Where the last batch begins: it may be missing, too.
    for data in (whole[: len(whole) // 2], whole[:end], whole[: end + 6], b"", b"It was a dark night.\n" * 9):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"texts\.arrow is not a complete Arrow file\. Received: \w"):
            sizes_of_messages(str(path), "text")
        with pytest.raises(InputError, match=r"texts\.arrow is not a complete Arrow file"):
            list(read_arrow(block.segments[0], text_field="text", counts=TextCounts()))


def test_offsets_that_lead_out_of_the_text(path: Path) -> None:
    write(path, {"text": ["One.", "Two.", "Three."]})
    data = path.read_bytes()
    offsets = struct.pack("<4i", 0, 4, 8, 14)
    assert data.count(offsets) == 1
    path.write_bytes(data.replace(offsets, struct.pack("<4i", 0, 4, 1 << 28, 14)))
    with pytest.raises(InputError, match=r"texts\.arrow is not a complete Arrow file"):
        read(path)
