from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pipeline.text.reading.sniffing import sniff_format, sniff_formats

SENTENCES = "It was a dark night.\nNobody was to be seen!\n\nWas it over?\nIt was not.\n"
PARAGRAPHS = "It was a dark night. Nobody was to be seen, not far and not near.\nThen it rained. It was over.\n"
WRAPPED = "It was a dark night, and there\nwas nobody to be seen, far\nor near. Then it\nrained.\n\nIt was over.\n"


@pytest.mark.parametrize(
    ("text", "text_format"),
    [
        (SENTENCES, "bert"),
        (PARAGRAPHS, "lines"),
        (WRAPPED, "wrapped"),
        ("一つ目の文です。\n二つ目です。\n", "bert"),
        (
            "A paragraph of sentences. It has no stop at the end " * 9 + "\n\n" + "The next. It goes on " * 9,
            "lines",
        ),
        (PARAGRAPHS.lower(), "lines"),
        (SENTENCES.lower(), "bert"),
        (PARAGRAPHS.upper(), "lines"),
        ("A sentence, e.g. this one.\nWith approx. five words.\n", "bert"),
        ("Ночью шёл дождь. Никто не пришёл.\nПотом он кончился. Все ушли.\n", "lines"),
        ("밤에 비가 왔습니다. 아무도 오지 않았습니다.\n그 후에 그쳤습니다. 모두 갔습니다.\n", "lines"),
        ("밤에 비가 왔습니다.\n아무도 오지 않았습니다.\n", "bert"),
        ("رات کو بارش ہوئی۔ کوئی نہیں آیا۔\nپھر وہ رک گئی۔ سب چلے گئے۔\n", "lines"),
        ("\n\n  \n", "wrapped"),
        ("", "wrapped"),
        ("A single line.", "bert"),
        ("A heading\nA sentence of it.\nA sentence without a line end.", "bert"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_formats_are_told_apart(tmp_path: Path, text: str, text_format: str, line_end: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(text.replace("\n", line_end).encode())
    assert sniff_format(str(path)) == text_format
    compressed = tmp_path / "text.txt.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    assert sniff_format(str(compressed)) == text_format


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        ('{"id": "12", "url": "https://a.example/12", "title": "A", "text": "One."}\n{}\n', True),
        ('\ufeff{"text": "One."}', True),
        ('{"text": "' + "It rained. " * 10_000 + '"}\n', True),
        ('{"braces": he wrote. Then it rained.}\nIt was over. All was well.\n', False),
        ("{" * 70_000, False),
        ('["An array"]\n', False),
    ],
    ids=range(6),
)
def test_json_lines_are_known_without_a_name(tmp_path: Path, text: str, is_json: bool) -> None:
    """As WikiExtractor writes them: AA/wiki_00."""
    path = tmp_path / "wiki_00"
    path.write_text(text)
    assert (sniff_format(str(path)) == "jsonl") == is_json


def test_the_line_that_looking_cuts_off_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("A sentence of this file.\n" * 2600 + "x" * 10_000)
    assert sniff_format(str(path)) == "bert"
    path.write_text("It has no end. " * 20_000)
    assert sniff_format(str(path)) == "lines"


def test_names_tell_formats_and_most_texts_that_of_all(tmp_path: Path) -> None:
    texts = [SENTENCES, *[WRAPPED] * 7]
    paths = [tmp_path / f"{i}.txt" for i in range(8)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    # These are not looked at: they are not even there.
    named = ["a.jsonl", "a.ndjson.gz", "a.json.zst", "A.PARQUET"]
    expected = ["jsonl", "jsonl", "jsonl", "parquet", *["wrapped"] * 8]
    assert sniff_formats([*named, *map(str, paths)]) == expected
    assert sniff_formats([str(paths[0]), *named]) == ["bert", *expected[:4]]
    assert sniff_formats(named) == expected[:4]
