from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.text.reading import jsonl_reader
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.jsonl_reader import read_jsonl
from pipeline.text.reading.plan import InputFile, plan_blocks


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jsonl") / "texts.jsonl"


def read(
    path: Path,
    block_bytes: int = 1 << 30,
    *,
    text_field: str = "text",
    drop_bad: bool = False,
    compression: str = "",
) -> tuple[list[str], TextCounts]:
    counts = TextCounts()
    blocks = plan_blocks([InputFile(str(path), path.stat().st_size, "jsonl", compression)], block_bytes)
    segments = [segment for block in blocks for segment in block.segments]
    read_all = (read_jsonl(s, text_field=text_field, drop_bad=drop_bad, counts=counts) for s in segments)
    return [document.text for documents in read_all for document in documents], counts


@settings(max_examples=200)
@given(
    st.lists(st.text(max_size=12) | st.just("漢字\n\n\u2028\x85\r\n"), max_size=20),
    st.integers(1, 80),
    st.sampled_from(["\n", "\r\n", "\n\n", " \n"]),
    st.booleans(),
)
def test_blocks_of_any_size_give_every_text_once(
    path: Path, texts: list[str], block_bytes: int, line_end: str, escape: bool
) -> None:
    lines = [json.dumps({"id": i, "text": text}, ensure_ascii=escape) for i, text in enumerate(texts)]
    path.write_bytes(line_end.join(lines).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl_reader, "_WINDOW", 7)  # Lines longer than what is looked through at a time.
        assert read(path, block_bytes) == (texts, {})
    path.write_bytes(gzip.compress(line_end.join(lines).encode()))
    assert read(path, block_bytes, compression="gzip") == (texts, {})


def test_nested_fields(path: Path) -> None:
    path.write_text('{"a": {"b": {"text": "One."}}, "text": "Two."}\n')
    assert read(path, text_field="a.b.text")[0] == ["One."]
    assert read(path)[0] == ["Two."]


def test_escapes_of_half_a_surrogate_pair_and_invalid_bytes(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf{"text": "\\ud83d\\ude00 \\ud83d"}\n{"text": "\xff"}\n')
    assert read(path)[0] == ["😀 \ud83d", "\udcff"]


def test_files_put_together_keep_their_byte_order_marks(path: Path) -> None:
    one = '{"text": "One."}\r\n'.encode("utf-8-sig")
    path.write_bytes(one * 3 + b"\xef\xbb\xbf\n")
    assert read(path) == (["One."] * 3, {})
    assert read(path, block_bytes=20) == (["One."] * 3, {})


def test_null_is_counted_as_no_text(path: Path) -> None:
    path.write_text('{"text": null}\n{"text": ""}\n{"text": "One."}\n')
    assert read(path) == (["", "One."], {"dropped/no_text": 1})


BAD_LINES = [
    ('{"text": "One."', "JSONDecodeError: "),
    ("One.", "JSONDecodeError: "),
    ('{"text": "a\tb"}', "JSONDecodeError: Invalid control character"),
    ('{"other": "One."}', "no field text in line 3: "),
    ('{"text": ["One."]}', "an array in that field in line 3: "),
    ('["One."]', "an array, which has no fields, in line 3: "),
    ('"One."', "a string, which has no fields, in line 3: "),
    ("17", "a number, which has no fields, in line 3: "),
    ("[" * 100_000, "RecursionError: "),
    ('{"text": ' + "1" * 5000 + "}", "ValueError: "),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_an_error_that_names_it_or_dropped(path: Path, line: str, message: str) -> None:
    path.write_text('{"text": "First."}\n\n' + line + '\n{"text": "Last."}\n')
    for block_bytes in (10, 30, 1000):
        with pytest.raises(InputError, match=r"texts\.jsonl must be .* in line 3: ") as error:
            read(path, block_bytes)
        assert message in str(error.value)
        texts, counts = read(path, block_bytes, drop_bad=True)
        assert texts == ["First.", "Last."]
        assert counts == {f"dropped/{'bad_json' if 'Error: ' in message else 'no_text_field'}": 1}


def test_the_number_of_a_bad_line_in_a_compressed_file(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"text": ""}\n' * 20_000 + b"bad\n"))
    with pytest.raises(InputError, match=r"in line 20,001: 'bad'"):
        read(path, compression="gzip")


def test_a_nested_field_that_is_missing(path: Path) -> None:
    path.write_text('{"text": "One."}\n')
    with pytest.raises(InputError, match=r"with a string in the field text\.b"):
        read(path, text_field="text.b")
