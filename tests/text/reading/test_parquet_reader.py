from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.parquet_reader import read_parquet, text_bytes_of_row_groups
from pipeline.text.reading.plan import InputFile, plan_blocks

TEXTS = [f"Text {i} – of a row.\nIts second line. {'word ' * (i % 50)}" for i in range(1000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "texts.parquet"


def write(path: Path, column: Any, name: str = "text", **options: Any) -> None:
    pq.write_table(pa.table({"id": list(range(len(column))), name: column}), path, **options)


def read(path: Path, block_bytes: int = 1 << 30, text_field: str = "text") -> tuple[list[list[str]], TextCounts]:
    """The texts of each block, and the counts."""
    counts = TextCounts()
    row_groups = text_bytes_of_row_groups(str(path), text_field)
    file = InputFile(str(path), path.stat().st_size, "parquet", pieces=row_groups)
    segments = [segment for block in plan_blocks([file], block_bytes) for segment in block.segments]
    documents = [list(read_parquet(segment, text_field=text_field, counts=counts)) for segment in segments]
    return [[document.text for document in block] for block in documents], counts


@pytest.mark.parametrize("block_bytes", [1, 10_000, 50_000, 1 << 30])
def test_blocks_of_any_size_give_every_row_once(path: Path, block_bytes: int) -> None:
    write(path, TEXTS, row_group_size=100)
    blocks, counts = read(path, block_bytes)
    assert [text for block in blocks for text in block] == TEXTS
    assert not counts
    assert len(blocks) == {1: 10, 10_000: 10, 50_000: 5, 1 << 30: 1}[block_bytes]


def test_sizes_of_row_groups_are_those_of_the_text(path: Path) -> None:
    write(path, TEXTS, row_group_size=500, use_dictionary=False)
    sizes = text_bytes_of_row_groups(str(path), "text")
    for size, texts in zip(sizes, (TEXTS[:500], TEXTS[500:]), strict=True):
        bytes_of_text = sum(len(text.encode()) for text in texts)
        assert bytes_of_text < size < 1.1 * bytes_of_text


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.binary()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS, pa.large_binary()),
        pa.array(TEXTS, pa.json_()),
    ],
    ids=["large_string", "binary", "dictionary", "string_view", "large_binary", "json"],
)
def test_all_kinds_of_text(path: Path, column: Any) -> None:
    write(path, column)
    assert read(path)[0] == [TEXTS]


def test_no_value_is_counted_and_invalid_utf8_read_as_surrogates(path: Path) -> None:
    write(path, pa.array([b"One.", None, b"Caf\xe9", b""], pa.binary()))
    assert read(path) == ([["One.", "Caf\udce9", ""]], {"dropped/no_text": 1})


def test_nested_columns(path: Path) -> None:
    rows = [{"a": {"b": "One.", "c": 1}}, {"a": None}, None, {"a": {"b": "Two.", "c": 2}}]
    write(path, rows, "content")
    assert read(path, text_field="content.a.b") == ([["One.", "Two."]], {"dropped/no_text": 2})


def test_names_with_dots(path: Path) -> None:
    """Columns, and fields within them; a column of the name stands before a field."""
    write(path, TEXTS[:3], "doc.text")
    assert read(path, text_field="doc.text") == ([TEXTS[:3]], {})
    write(path, [{"b.c": {"d.e": "One.", "f": 1}, "d": "Two."}], "a")
    assert read(path, text_field="a.b.c.d.e")[0] == [["One."]]
    assert read(path, text_field="a.d")[0] == [["Two."]]
    for columns in (
        {"doc": [{"text": "Nested."}], "doc.text": ["Flat."]},
        {"doc.text": ["Flat."], "doc": [{"text": "N."}]},
    ):
        pq.write_table(pa.table(columns), path)
        assert read(path, text_field="doc.text")[0] == [["Flat."]]


@pytest.mark.parametrize(
    ("column", "text_field", "received"),
    [
        ([["One.", "Two."]], "text", r"list<element: string>"),
        (pa.array([[("key", "value")]], pa.map_(pa.string(), pa.string())), "text", r"map<string, string.*>"),
        ([{"parts": ["One."]}], "text.parts", "list<element: string>"),
        (pa.array([None, None], pa.null()), "text", "null"),
        (pa.array([1.5]), "text", "DOUBLE"),
        (pa.array([True]), "text", "BOOLEAN"),
        (pa.array([1, 2]).dictionary_encode(), "text", "INT64"),
        (pa.array([b"1234"], pa.binary(4)), "text", "FIXED_LEN_BYTE_ARRAY"),
    ],
)
def test_columns_of_what_is_no_text(path: Path, column: Any, text_field: str, received: str) -> None:
    write(path, column)
    with pytest.raises(
        InputError, match=rf"The column {text_field} of .* must contain text.* Received: {received}\. Name"
    ):
        read(path, text_field=text_field)


@pytest.mark.parametrize(("text_field", "fault"), [("body", "the columns id, text"), ("id", "INT64")])
def test_a_column_that_is_missing_or_no_text(path: Path, text_field: str, fault: str) -> None:
    write(path, TEXTS[:3])
    with pytest.raises(InputError, match=rf"Received: {fault}\. Name .* with --text-field"):
        read(path, text_field=text_field)


def test_damage_is_an_error_that_names_the_file(path: Path) -> None:
    write(path, TEXTS, row_group_size=250, use_dictionary=False, write_page_checksum=True)
    row_groups = text_bytes_of_row_groups(str(path), "text")
    file = InputFile(str(path), path.stat().st_size, "parquet", pieces=row_groups)
    (block,) = plan_blocks([file], 1 << 30)
    whole = path.read_bytes()
    within = pq.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset + 2000
    flipped = whole[:within] + bytes([whole[within] ^ 1]) + whole[within + 1 :]
    for data in (whole[: len(whole) // 2], b"", flipped):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"texts\.parquet is not a complete Parquet file"):
            list(read_parquet(block.segments[0], text_field="text", counts=TextCounts()))
    write(path, [])
    with pytest.raises(InputError, match="has fewer row groups than when"):
        list(read_parquet(block.segments[0], text_field="text", counts=TextCounts()))
