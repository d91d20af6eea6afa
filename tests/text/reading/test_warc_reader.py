from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.text.reading import warc_reader
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.plan import InputFile, plan_blocks
from pipeline.text.reading.warc_reader import read_warc, size_of_archive


def record(kind: str, content: bytes, content_type: str = "text/plain", uri: str = "https://a.example/") -> bytes:
    header = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: {uri}",
        "WARC-Date: 2024-05-18T01:58:10Z",
        "WARC-Record-ID: <urn:uuid:6a3b5a4e-0b0a-4b3a-9d1a-0b8c9f0f1f1a>",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*header, "", ""]).encode() + content + b"\r\n\r\n"


RECORDS = [
    record("warcinfo", b"software: test\r\n", "application/warc-fields"),
    record("conversion", "Ein Haus.\nWARC/1.0\n\nÜber dem Fluss.\n".encode()),
    record("response", b"HTTP/1.1 200 OK\r\n\r\n<html>", "application/http; msgtype=response", "https://b.example/"),
    record("conversion", b"Caf\xe9", "text/plain; charset=x"),
    record("conversion", b""),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "texts.warc.wet"


def read(path: Path, compression: str = "") -> tuple[list[Document], TextCounts]:
    pieces = () if compression else size_of_archive(str(path))
    file = InputFile(str(path), path.stat().st_size, "warc", compression, pieces)
    (block,) = plan_blocks([file], 1)
    counts = TextCounts()
    return list(read_warc(block.segments[0], counts)), counts


def test_records_of_plain_text_are_documents(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"".join(RECORDS))
    found, counts = read(path)
    assert [(document.text, document.place) for document in found] == [
        ("Ein Haus.\nWARC/1.0\n\nÜber dem Fluss.\n", "record 2, https://a.example/"),
        ("Caf\udce9", "record 4, https://a.example/"),
        ("", "record 5, https://a.example/"),
    ]
    assert counts == {"dropped/not_plain_text": 1}
    (sample,) = counts.dropped["not_plain_text"]
    assert (sample["place"], sample["text"]) == ("record 3, https://b.example/", "HTTP/1.1 200 OK <html>")
    compressed = path.with_name("texts.warc.wet.gz")
    compressed.write_bytes(b"".join(map(gzip.compress, RECORDS)))  # A member for each record, as they are published.
    texts = [document.text for document in found]
    assert [document.text for document in read(compressed, "gzip")[0]] == texts
    for size in (1, 7, 100):  # Wherever the chunks of a file meet.
        monkeypatch.setattr(warc_reader, "CHUNK_BYTES", size)
        assert [document.text for document in read(path)[0]] == texts


def test_a_text_that_is_too_long_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc_reader, "_LONGEST", 4)
    path.write_bytes(record("conversion", b"Long.") + record("conversion", b"Next"))
    found, counts = read(path)
    assert [document.text for document in found] == ["Next"]
    assert counts == {"dropped/too_long": 1}


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (b"It was a dark night.\n", "b'It was a dark night.' where record 1 should begin"),
        (RECORDS[1][:-12], "a file that ends within a record"),
        (RECORDS[1][:20], "a file that ends within a record's header"),
        (RECORDS[1].replace(b"Length: 3", b"Length: x"), "record 1 with Content-Length x7"),
        (RECORDS[1].replace(b"Length: 3", b"Length: "), "where record 2 should begin"),
        (b"\r\n", "no record"),
        (b"x" * 100_000, "a line that is too long"),
    ],
)
def test_damage_is_an_error_that_names_the_file(path: Path, data: bytes, received: str) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"texts\.warc\.wet is not a complete web archive") as error:
        read(path)
    assert received in str(error.value)
