from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest
import zstandard

from pipeline.errors import InputError
from pipeline.records.tfrecord import masked_crc
from pipeline.text.reading.content import HEAD_BYTES, check_is_text, read_head

ENGLISH = "The river rose in the night, and nobody came to the old house by the bridge.\n" * 40
RUSSIAN = "Ночью река поднялась, и никто не пришёл к старому дому у моста.\n" * 40
CHINESE = "夜里河水上涨没有人来到桥边的老房子\n" * 80
FRENCH = "Dans la nuit, la rivière est montée, et personne n'est allé à la vieille maison près du pont.\n" * 40
JAPANESE = "夜のうちに川の水かさが増し、橋のそばの古い家には誰も来なかった。\n" * 40


def archive(kind: str) -> bytes:
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as zipped:
            zipped.writestr("a.txt", ENGLISH)
    else:
        with tarfile.open(
            fileobj=stream, mode="w", format=tarfile.PAX_FORMAT if kind == "pax" else tarfile.GNU_FORMAT
        ) as tar:
            info = tarfile.TarInfo("a.txt")
            info.size = len(ENGLISH)
            tar.addfile(info, io.BytesIO(ENGLISH.encode()))
    return stream.getvalue()


def numpy_file() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(100))
    return stream.getvalue()


def feather() -> bytes:
    stream = io.BytesIO()
    pyarrow.feather.write_feather(pa.table({"text": [ENGLISH]}), stream)
    return stream.getvalue()


def arrow_stream() -> bytes:
    table = pa.table({"text": [ENGLISH]})
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = np.random.default_rng(1).integers(0, 256, 64 * 65, np.uint8).tobytes()
    header = struct.pack(">2I5B", 64, 64, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def tfrecord() -> bytes:
    length = struct.pack("<Q", len(ENGLISH))
    return length + masked_crc(length) + ENGLISH.encode() + masked_crc(ENGLISH.encode())


def sqlite() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table texts (text)")
    connection.execute("insert into texts values (?)", (ENGLISH,))
    return connection.serialize()


NOT_TEXT: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip": (lambda: archive("zip"), "a zip archive.*unpack it first"),
    "tar": (lambda: archive("gnu"), "a tar archive: unpack it first"),
    "pax": (lambda: archive("pax"), "a tar archive"),
    "npy": (numpy_file, "a NumPy array"),
    "arrow": (feather, "an Arrow file: its name must end in .arrow or .feather"),
    "arrow stream": (arrow_stream, "an Arrow file: its name must end in .arrow"),
    "warc": (lambda: b"WARC/1.0\r\nWARC-Type: warcinfo\r\n", "a web archive: its name must end in .warc"),
    "png": (png, "an image"),
    "sqlite": (sqlite, "a SQLite database"),
    "tfrecord": (tfrecord, "TFRecords"),
    "program": (lambda: Path(sys.executable).read_bytes()[:HEAD_BYTES], "a program"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(100), "a 7z archive"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\x00", "a rar archive"),
    "pickle": (lambda: pickle.dumps([ENGLISH]), "a Python pickle"),
    "lz4": (lambda: b"\x04\x22\x4d\x18\x64\x40\xa7" + ENGLISH.encode(), "an lz4 file"),
    "lzma": (lambda: lzma.compress(ENGLISH.encode(), lzma.FORMAT_ALONE), "an lzma file"),
    "numbers": (lambda: np.arange(1000, dtype=np.float32).tobytes(), "binary data, .* NUL bytes"),
    "random": (lambda: np.random.default_rng(1).bytes(5000), "is not UTF-8"),
    "utf-16": (lambda: ENGLISH.encode("utf-16"), r"UTF-16: convert it to UTF-8 first \(iconv -f UTF-16 -t UTF-8\)"),
    "utf-32": (lambda: ENGLISH.encode("utf-32"), "UTF-32: convert"),
    "utf-32-be": (lambda: b"\x00\x00\xfe\xff" + ENGLISH.encode("utf-32-be"), "UTF-32: convert"),
    **{
        f"{language} {encoding}": (
            lambda text=text, encoding=encoding: text.encode(encoding),  # type: ignore[misc]
            rf"{encoding.upper()} without a byte order mark: convert .*iconv -f {encoding.upper()} ",
        )
        for language, text in {"English": ENGLISH, "Russian": RUSSIAN, "Chinese": CHINESE, "Japanese": JAPANESE}.items()
        for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
    },
    **{
        encoding: (lambda text=text, encoding=encoding: text.encode(encoding), "another encoding.*iconv -f ENCODING")  # type: ignore[misc]
        for encoding, text in [
            ("cp1251", RUSSIAN),
            ("koi8-r", RUSSIAN),
            ("gb18030", CHINESE),
            ("shift-jis", JAPANESE),
            ("euc-jp", JAPANESE),
            ("cp500", ENGLISH),
        ]
    },
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", NOT_TEXT)
def test_what_is_no_text_in_utf_8_is_refused_by_name(tmp_path: Path, kind: str, compression: str) -> None:
    """Within a compressed file, too."""
    make, what = NOT_TEXT[kind]
    path = tmp_path / "input.txt"
    path.write_bytes(COMPRESSIONS[compression](make()))
    with pytest.raises(InputError, match=rf"input\.txt is not text in UTF-8\. Received: .*{what}"):
        check_is_text(str(path), read_head(str(path), compression))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"One.",
        b"One.\x00",
        *(text.encode() for text in (ENGLISH, RUSSIAN, CHINESE, FRENCH, JAPANESE)),
        b"\xef\xbb\xbf" + ENGLISH.encode(),
        (CHINESE * 20).encode(),  # Its beginning ends within a character.
        (CHINESE * 20).encode()[: HEAD_BYTES - 1],
        FRENCH.encode("latin-1"),  # Its accents are lost, and counted.
        FRENCH.encode("cp1252"),
        ENGLISH.encode() + b"\x00\xff" * 10,
        json.dumps({"text": RUSSIAN}).encode(),
        "😀👩‍👩‍👧 \u0301\u200b\u2028\ue000".encode() * 100,
        b"ORCHESTRAS, RARE FEATHERS.\n" * 100,
        bytes([1, 2, 3, 7, 8, 27, 127, 10]) * 100,
        b"\x1b[1mbold\x1b[0m\tand a page\x0c\r\n" * 100,
    ],
)
def test_text_is_taken_with_what_little_in_it_is_none(text: bytes) -> None:
    check_is_text("text.txt", text[:HEAD_BYTES])


def test_a_head_is_what_a_file_begins_with(tmp_path: Path) -> None:
    data = np.random.default_rng(2).bytes(3 * HEAD_BYTES)
    for compression, compress in COMPRESSIONS.items():
        path = tmp_path / f"file.{compression}"
        path.write_bytes(compress(data))
        assert read_head(str(path), compression) == data[:HEAD_BYTES]
        path.write_bytes(compress(b"short"))
        assert read_head(str(path), compression) == b"short"


TWO = [{"text": "One.", "a": {"b": [1]}}, {"text": "Two."}]


@pytest.mark.parametrize(
    ("contents", "what"),
    [
        (json.dumps(TWO), r"one JSON array\. .* jq -c '\.\[\]' a\.json > texts\.jsonl"),
        (json.dumps(TWO, indent=1), "one JSON array"),
        ("[\n" + ",\n".join(map(json.dumps, TWO)) + "\n]\n", "one JSON array"),
        ("\ufeff\r\n " + json.dumps(TWO, indent=1), "one JSON array"),
        (json.dumps(TWO * 5000), "one JSON array"),
        (
            json.dumps(TWO[0], indent=2),
            r"JSON objects that span several lines \(pretty-printed\)\. .* jq -c \. a\.json",
        ),
        ("\n".join(json.dumps(one, indent="\t") for one in TWO), "pretty-printed"),
        ('{ "text": "One.",\n  "a": 1 }\n', "pretty-printed"),
    ],
)
def test_json_that_is_no_json_lines(contents: str, what: str) -> None:
    with pytest.raises(InputError, match=rf"a\.json is not JSON Lines, one object per line\. Received: .*{what}"):
        check_is_text("a.json", contents.encode()[:HEAD_BYTES], "jsonl")
    check_is_text("a.txt", contents.encode()[:HEAD_BYTES], "lines")


@pytest.mark.parametrize(
    "contents",
    [
        "",
        "\n",
        "[1, 2]\n",
        '{"text": "One."\n{"text": "Two."}\n',
        json.dumps(TWO[0]),
        json.dumps({"text": "x" * 10**5}),
    ],
)
def test_json_lines_are_taken_with_lines_that_are_none(contents: str) -> None:
    check_is_text("a.json", contents.encode()[:HEAD_BYTES], "jsonl")


def test_strings_of_json_lines_may_hold_other_line_ends() -> None:
    check_is_text("a.jsonl", '{"text": "One.\u2028 Two."}\n'.encode(), "jsonl")
