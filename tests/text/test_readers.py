from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.files import FileInfo
from pipeline.text import readers
from pipeline.text.plan import Segment, plan_blocks
from pipeline.text.readers import FORMATS, read_documents, sniff_format

PIECES = ["a", "b. ", "word", "é", "漢字", "😀", "\u0301", "\n", "\n\n", "\n \t\n", "\r\n", "\r\n\r\n", "\r", " ", "\t"]
PIECES += ["\x0c", "\x00", "\ufeff", "\u2028", "\u3000", "\x85", "\ufffd"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
BYTES = st.lists(st.sampled_from([b"x", b"\n", b"\n\n", b"\r", b" ", b"\xff", b"\xe6\xbc", b"\x80", "é".encode()]))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers") / "text.txt"


def read(path: Path, text_format: str, block_bytes: int = 1 << 30) -> tuple[list[list[str]], Counter[str]]:
    """The documents of each block of a file, and the counts."""
    counts: Counter[str] = Counter()
    blocks = plan_blocks([FileInfo(str(path), path.stat().st_size)], block_bytes)
    segments = [segment for block in blocks for segment in block.segments]
    return [list(read_documents(segment, text_format, counts)) for segment in segments], counts


def flat(blocks: list[list[str]]) -> list[str]:
    return [document for block in blocks for document in block]


def documents_of(text: str) -> list[str]:
    """What BERT's own reader makes of a file: stripped lines, a document ends at an empty one."""
    documents: list[list[str]] = [[]]
    for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.strip():
            documents[-1].append(line.strip())
        else:
            documents.append([])
    return ["\n".join(lines) for lines in documents if lines]


# === A whole file ===


@given(TEXTS)
def test_documents_are_those_of_berts_reader(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    for text_format in ("bert", "lines"):
        blocks, counts = read(path, text_format)
        assert flat(blocks) == documents_of(text)
        assert not counts


@given(TEXTS)
def test_wrapped_prose_is_one_document_of_paragraphs(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    paragraphs = [" ".join(paragraph.split()) for paragraph in documents_of(text)]
    blocks, _ = read(path, "wrapped")
    assert flat(blocks) == ["\n".join(paragraphs)] * bool(paragraphs)


def test_line_ends_of_all_systems(path: Path) -> None:
    expected = ["One.\nTwo.", "Three."]
    for end in ("\n", "\r\n", "\r"):
        path.write_bytes(f"One.{end}Two.{end}{end}Three.{end}".encode())
        assert flat(read(path, "bert")[0]) == expected


def test_a_form_feed_alone_on_a_line_leaves_it_blank(path: Path) -> None:
    path.write_bytes(b"End of a page.\n\x0c\nNext page.\n")
    assert flat(read(path, "bert")[0]) == ["End of a page.", "Next page."]


def test_byte_order_mark_is_not_text(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfOne.\nTwo.\n")
    assert flat(read(path, "bert")[0]) == ["One.\nTwo."]


def test_invalid_utf8_is_replaced_and_counted_by_document(path: Path) -> None:
    path.write_bytes("Fine.\n\nH\ufffdlf.\n\n".encode() + b"Caf\xe9.\nCaf\xe9.\n\n" + b"\xff\xfe\n")
    blocks, counts = read(path, "bert")
    assert flat(blocks) == ["Fine.", "H\ufffdlf.", "Caf\ufffd.\nCaf\ufffd.", "\ufffd\ufffd"]
    assert counts["invalid_utf8_documents"] >= 2
    path.write_bytes("H\ufffdlf.\n".encode())
    assert read(path, "bert")[1] == {}  # What stands in the file as it is, is valid.


@pytest.mark.parametrize("text_format", list(FORMATS))
@pytest.mark.parametrize("data", [b"\n", b" \t\r\n\x0c\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n"])
def test_white_space_is_no_document(path: Path, text_format: str, data: bytes) -> None:
    path.write_bytes(data)
    assert flat(read(path, text_format)[0]) == []


# === A file in blocks ===


@settings(max_examples=300)
@given(TEXTS, st.integers(1, 60))
def test_blocks_of_any_size_hold_whole_documents_each_once(path: Path, text: str, block_bytes: int) -> None:
    path.write_bytes(text.encode())
    for text_format in ("bert", "lines"):
        blocks, counts = read(path, text_format, block_bytes)
        assert flat(blocks) == documents_of(text)
        assert not counts
    # A wrapped file is one document, which is cut between paragraphs.
    whole, _ = read(path, "wrapped")
    blocks, counts = read(path, "wrapped", block_bytes)
    assert "\n".join(flat(blocks)) == "\n".join(flat(whole))
    assert counts["documents_cut"] >= len(flat(blocks)) - len(flat(whole))


@given(BYTES.map(b"".join), st.integers(1, 40))
def test_blocks_of_invalid_text_are_read_alike(path: Path, data: bytes, block_bytes: int) -> None:
    path.write_bytes(data)
    assert flat(read(path, "bert", block_bytes)[0]) == flat(read(path, "bert")[0])


@settings(max_examples=300)
@given(TEXTS, st.integers(1, 60), st.integers(4, 30), st.sampled_from(list(FORMATS)))
def test_no_character_is_lost_or_read_twice_where_documents_are_larger_than_the_window(
    path: Path, text: str, block_bytes: int, window: int, text_format: str
) -> None:
    path.write_bytes(text.encode())
    whole = "".join(" ".join(flat(read(path, text_format)[0])).split())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "_CUT_WINDOW", window)
        blocks, counts = read(path, text_format, block_bytes)
    assert "".join(" ".join(flat(blocks)).split()) == whole
    assert "invalid_utf8_documents" not in counts  # No character was cut in two.


def test_a_long_document_is_cut_at_a_line_end_and_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_CUT_WINDOW", 16)
    path.write_text("0123456789.\n" * 8 + "\nshort.\n\n0123456789.\n")
    blocks, counts = read(path, "bert", 40)
    assert [line for document in flat(blocks) for line in document.split("\n")] == [
        *["0123456789."] * 8,
        "short.",
        "0123456789.",
    ]
    assert flat(blocks)[-2:] == ["short.", "0123456789."]
    assert counts == {"documents_cut": 2}
    assert len(flat(blocks)) == 5


def test_a_text_without_line_ends_is_cut_at_spaces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_CUT_WINDOW", 8)
    path.write_text("word " * 30)
    blocks, counts = read(path, "lines", 40)
    assert [document.split() for document in flat(blocks)] == [["word"] * len(d.split()) for d in flat(blocks)]
    assert sum(len(document.split()) for document in flat(blocks)) == 30
    assert counts["documents_cut"] == 3


def test_the_last_document_of_a_file_stays_whole(path: Path) -> None:
    """Behind it stands no blank line, only the end."""
    last = "A sentence of the last document.\n" * 50
    path.write_text("First.\n\n" + last)
    blocks, counts = read(path, "bert", 200)
    assert flat(blocks) == ["First.", last.strip()]
    assert not counts


def test_a_wrapped_book_in_blocks_is_counted_as_cut(path: Path) -> None:
    path.write_text("A line of a\nparagraph.\n\n" * 20)
    blocks, counts = read(path, "wrapped", 100)
    documents = flat(blocks)
    assert len(documents) > 1
    assert "\n".join(documents) == "\n".join(["A line of a paragraph."] * 20)
    assert counts == {"documents_cut": len(documents) - 1}


# === Files that change ===


def test_a_file_that_shrank_is_an_error(path: Path) -> None:
    path.write_text("One.\n\n" * 10)
    segment = Segment(str(path), 0, 60, 60)
    assert len(list(read_documents(segment, "bert", Counter()))) == 10
    path.write_text("One.\n\n" * 9)
    with pytest.raises(InputError, match=r"must hold 60 bytes, .* Received: 54 bytes\. Leave the inputs alone"):
        list(read_documents(segment, "bert", Counter()))
    path.unlink()
    with pytest.raises(InputError, match=r"Cannot read .*No such file"):
        list(read_documents(segment, "bert", Counter()))


def test_what_was_appended_since_the_plan_is_not_read(path: Path) -> None:
    path.write_text("One.\n\n" * 10 + "Two.\n\n" * 10)
    for cuts in ([0, 60], [0, 30, 60], [0, 58, 60]):
        segments = [Segment(str(path), start, end, 60) for start, end in pairwise(cuts)]
        assert [d for s in segments for d in read_documents(s, "bert", Counter())] == ["One."] * 10


# === Formats ===

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
        ("\n\n  \n", "wrapped"),
        ("", "wrapped"),
        ("A single line.", "bert"),
        ("A heading\nA sentence of it.\nA sentence without a line end.", "bert"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_formats_are_told_apart(path: Path, text: str, text_format: str, line_end: str) -> None:
    path.write_bytes(text.replace("\n", line_end).encode())
    assert sniff_format(str(path)) == text_format


def test_the_line_that_looking_cuts_off_does_not_count(path: Path) -> None:
    path.write_text("A sentence of this file.\n" * 2600 + "x" * 10_000)
    assert sniff_format(str(path)) == "bert"
    path.write_text("It has no end. " * 20_000)
    assert sniff_format(str(path)) == "lines"
