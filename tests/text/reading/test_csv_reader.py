from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.text.reading import csv_reader
from pipeline.text.reading.csv_reader import read_csv, read_header, sizes_of_rows
from pipeline.text.reading.csv_rows import NO_QUOTES, ROW_BEGINS, find_row
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.plan import InputFile, plan_blocks


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv") / "texts.csv"


def read(
    path: Path,
    block_bytes: int = 1 << 30,
    *,
    text_format: str = "csv",
    text_field: str = "text",
    quotes: str = "double",
    drop_bad: bool = False,
    compression: str = "",
) -> tuple[list[str], TextCounts]:
    pieces: tuple[int, ...] = ()
    if not compression:
        pieces = sizes_of_rows(str(path), text_format, text_field=text_field, quotes=quotes, block_bytes=block_bytes)
        assert sum(pieces) == path.stat().st_size
    file = InputFile(str(path), path.stat().st_size, text_format, compression, pieces)
    counts = TextCounts()
    documents = [
        document
        for block in plan_blocks([file], block_bytes)
        for segment in block.segments
        for document in read_csv(segment, text_field=text_field, quotes=quotes, drop_bad=drop_bad, counts=counts)
    ]
    return [document.text for document in documents], counts


def table(texts: list[str], *, line_end: str = "\r\n", delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator=line_end, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([["id", "text", "source"], *([i, text, "a, b"] for i, text in enumerate(texts))])
    return stream.getvalue().encode()


PARTS = st.text('a",;\t\n\r é漢', max_size=12) | st.just('He said "no",\r\n\r\nand left.\u2028')


@settings(max_examples=300)
@given(
    st.lists(PARTS, max_size=20),
    st.integers(1, 80),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
)
def test_blocks_of_any_size_give_every_text_once(
    path: Path, texts: list[str], block_bytes: int, line_end: str, delimiter: str, quoting: int, mark: bool
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # Before Python 3.13, csv.writer quotes no line ends but its own.
        texts = [re.sub("\r\n|\r|\n", line_end, text) for text in texts]
    data = codecs.BOM_UTF8 * mark + table(texts, line_end=line_end, delimiter=delimiter, quoting=quoting)
    path.write_bytes(data)
    expected = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    assert read(path, block_bytes) == (expected, {})
    path.write_bytes(gzip.compress(data))
    assert read(path, block_bytes, compression="gzip") == (expected, {})


@settings(max_examples=300)
@given(st.binary(max_size=80) | st.text('a",\n\r', max_size=80).map(str.encode), st.integers(1, 90), st.booleans())
def test_bad_rows_are_the_same_wherever_a_file_is_cut(path: Path, data: bytes, block_bytes: int, quoted: bool) -> None:
    path.write_bytes(b"id,text\n" + data + b'\n1,"' * quoted + b'One."\n' * quoted)

    def outcome(size: int) -> object:
        try:
            return read(path, size, drop_bad=True)
        except InputError as error:
            return str(error)

    assert outcome(block_bytes) == outcome(1 << 30)


def test_where_rows_begin() -> None:
    def begins(data: bytes, state: int = ROW_BEGINS, quote: int = ord('"')) -> tuple[int, int]:
        found, state = find_row(np.frombuffer(data, np.uint8), state, ord(","), quote)
        return int(found), int(state)

    assert begins(b'1,"a\n') == begins(b'1,"a\n""\n')
    assert begins(b'1,"a\n')[0] == 0
    assert begins(b'a"\n2,x', begins(b'1,"a\n')[1])[0] == 3
    assert begins(b'1,"a\n', quote=NO_QUOTES)[0] == 5
    assert begins(b'1,5" pipe\n2')[0] == 10  # Within an unquoted field, a quote is a character.
    assert begins(b'1,"a"b"\n2')[0] == 8  # After an error, the next line begins a row.
    assert begins(b"a\r\nb")[0] == 3
    assert begins(b"a\rb")[0] == 2
    assert begins(b"\nb", begins(b"a\r")[1])[0] == 1


def test_large_files_are_cut(path: Path) -> None:
    texts = [f'Text "{i}",\nof two lines. ' + "word " * 200 for i in range(5000)]
    path.write_bytes(table(texts))
    assert len(sizes_of_rows(str(path), "csv", text_field="text", quotes="double", block_bytes=0)) == 5
    assert read(path)[0] == read(path, 100_000)[0] == texts


def test_a_byte_that_is_no_utf8_is_a_surrogate(path: Path) -> None:
    path.write_bytes(b"id,text\n1,Caf\xe9\n")
    assert read(path)[0] == ["Caf\udce9"]


def test_places(path: Path) -> None:
    path.write_text('id,text\n1,One.\n\n2,"Two.\n"\n3,Three.\n')
    (segment,) = plan_blocks([InputFile(str(path), path.stat().st_size, "csv", "", (path.stat().st_size,))], 1000)[
        0
    ].segments
    documents = read_csv(segment, text_field="text", quotes="double", drop_bad=False, counts=TextCounts())
    assert [document.place for document in documents] == ["row 1", "row 2", "row 3"]


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("id,text", ","), ("id;text", ";"), ("id|text", "|"), ('id\t"a,b,c"', "\t"), ("text", ",")],
)
def test_the_delimiter_is_detected(path: Path, header: str, delimiter: str) -> None:
    path.write_text(f"{header}\n1{delimiter}One.\n")
    assert read_header(str(path), "", "csv", "double").delimiter == delimiter


def test_a_table_of_tabs(path: Path) -> None:
    path.write_text('text,\tid\n"One\tand,\nhalf."\t1\nTwo.\t2\n')
    assert read(path, text_format="tsv", text_field="text,")[0] == ["One\tand,\nhalf.", "Two."]
    path.write_text('text\tid\n"One," he said.\t1\n"\t2\n')
    assert read(path, text_format="tsv", quotes="none") == (['"One," he said.', '"'], {})
    with pytest.raises(InputError, match=r"in line 2: '\"One.* use --csv-quotes none"):
        read(path, text_format="tsv")


BAD_ROWS = [
    ("2", "1 instead of 2 fields in line 4: '2'"),
    ("2,Two.,2", "3 instead of 2 fields in line 4"),
    ('2,"Two" he said', r"expected after '\"' in line 4: "),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_is_an_error_that_names_its_line_or_dropped(path: Path, row: str, message: str) -> None:
    path.write_text(f'id,text\n1,"One\n."\n{row}\n3,Three.\n')
    for block_bytes in (1, 20, 1000):
        with pytest.raises(InputError, match=rf"Each row of .*texts\.csv must have .*{message}.*--on-bad-text drop"):
            read(path, block_bytes)
        assert read(path, block_bytes, drop_bad=True) == (["One\n.", "Three."], {"dropped/bad_row": 1})


def test_a_missing_column_names_those_that_there_are(path: Path) -> None:
    path.write_text("id, body\n1,One.\n")
    with pytest.raises(InputError, match=r"texts\.csv has no column text\. Received: the columns id, body\. Name"):
        read(path)
    assert read(path, text_field="body")[0] == ["One."]
    path.write_text("text,text\n1,One.\n")
    with pytest.raises(InputError, match="has several columns text"):
        read(path)


@pytest.mark.parametrize("drop_bad", [False, True])
def test_a_quote_that_is_not_closed(path: Path, drop_bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text('id,text\n1,"One.\n2,Two.\n' + "3,Three.\n" * 10)
    with pytest.raises(InputError, match="a quote that is not closed"):
        read(path, drop_bad=drop_bad)
    path.write_text('id,text\n1,"One.\n' + "2,Two.\n" * 10 + '3,"Three."\n')
    monkeypatch.setattr(csv_reader, "_LONGEST", 20)
    with pytest.raises(InputError, match="a quote that is not closed within 20 characters"):
        read(path, drop_bad=drop_bad)


def test_a_file_that_has_become_shorter(path: Path) -> None:
    path.write_text("id,text\n1,One.\n")
    (block,) = plan_blocks([InputFile(str(path), 99, "csv", "", (99,))], 1000)
    with pytest.raises(InputError, match="it had 99 bytes when"):
        list(read_csv(block.segments[0], text_field="text", quotes="double", drop_bad=False, counts=TextCounts()))
