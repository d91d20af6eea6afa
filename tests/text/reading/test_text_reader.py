from __future__ import annotations

import bz2
import gzip
import lzma
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.text.reading import text_reader, text_stream
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.formats import TEXT_FORMATS
from pipeline.text.reading.plan import InputFile, Segment, plan_blocks
from pipeline.text.reading.separators import Separators, separators
from pipeline.text.reading.text_reader import read_text

PIECES = ["a", "b. ", "word", "é", "漢字", "😀", "\u0301", "\n", "\n\n", "\n \t\n", "\r\n", "\r\n\r\n", "\r", " ", "\t"]
PIECES += ["\x0c", "\x00", "\ufeff", "\u2028", "\u3000", "\x85", "\ufffd", "\n\n\n\n", "\r\n\r\n \r\n\r\n"]
PIECES += ["\n---\n", "--"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
BYTES = st.lists(st.sampled_from([b"x", b"\n", b"\n\n", b"\r", b" ", b"\xff", b"\xe6\xbc", b"\x80", "é".encode()]))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers") / "text.txt"


def texts_of(segment: Segment, between: Separators, counts: TextCounts) -> list[str]:
    return [document.text for document in read_text(segment, between, counts)]


def read(
    path: Path, text_format: str, block_bytes: int = 1 << 30, *, separator: str = "", compression: str = ""
) -> tuple[list[list[str]], TextCounts]:
    """The documents of each block of a file, and the counts."""
    counts = TextCounts()
    blocks = plan_blocks([InputFile(str(path), path.stat().st_size, text_format, compression)], block_bytes)
    segments = [segment for block in blocks for segment in block.segments]
    between = separators(text_format, separator)
    return [texts_of(segment, between, counts) for segment in segments], counts


def flat(blocks: list[list[str]]) -> list[str]:
    return [document for block in blocks for document in block]


def lines_of(text: str) -> list[str]:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return [line.strip() for line in text.split("\n")]


def documents_of(text: str) -> list[str]:
    """What BERT's own reader makes of a file: stripped lines, a document ends at an empty one."""
    documents: list[list[str]] = [[]]
    for line in lines_of(text):
        if line:
            documents[-1].append(line)
        else:
            documents.append([])
    return ["\n".join(lines) for lines in documents if lines]


def wrapped_documents_of(text: str) -> list[str]:
    """Paragraphs in lines of their own; a document ends at three empty lines."""
    documents: list[list[list[str]]] = [[[]]]
    blank = 0
    for line in lines_of(text):
        if line:
            if blank >= 3:
                documents.append([[]])
            elif blank:
                documents[-1].append([])
            documents[-1][-1].append(line)
        blank = 0 if line else blank + 1
    joined = ("\n".join(" ".join(lines) for lines in document if lines) for document in documents)
    return [document for document in joined if document]


# === A whole file ===


@given(TEXTS)
def test_documents_are_those_of_berts_reader(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    for text_format in ("bert", "lines"):
        blocks, counts = read(path, text_format)
        assert flat(blocks) == documents_of(text)
        assert not counts


@given(TEXTS)
def test_wrapped_prose_is_documents_of_paragraphs(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    blocks, _ = read(path, "wrapped")
    assert flat(blocks) == wrapped_documents_of(text)


def test_chapters_of_a_book_are_documents(path: Path) -> None:
    chapters = ["A TITLE", "Chapter 1\n\n\nIt was a dark\nnight.\n\nRain fell.", "Chapter 2\n\nIt was\n  over.\n"]
    path.write_text("\n\n \n\n".join(chapters))
    assert flat(read(path, "wrapped")[0]) == [
        "A TITLE",
        "Chapter 1\nIt was a dark night.\nRain fell.",
        "Chapter 2\nIt was over.",
    ]


def test_line_ends_of_all_systems(path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        path.write_bytes(f"One.{end}Two.{end}{end}Three.{end}".encode())
        assert flat(read(path, "bert")[0]) == ["One.\nTwo.", "Three."]


def test_a_form_feed_alone_on_a_line_leaves_it_blank(path: Path) -> None:
    path.write_bytes(b"End of a page.\n\x0c\nNext page.\n")
    assert flat(read(path, "bert")[0]) == ["End of a page.", "Next page."]


def test_byte_order_mark_is_not_text(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfOne.\nTwo.\n")
    assert flat(read(path, "bert")[0]) == ["One.\nTwo."]


def test_what_is_not_utf8_comes_as_surrogates(path: Path) -> None:
    path.write_bytes("H\ufffdlf.\n\n".encode() + b"Caf\xe9.\n\n" + b"\xff\xfe \xed\xa0\x80\n")
    assert flat(read(path, "bert")[0]) == ["H\ufffdlf.", "Caf\udce9.", "\udcff\udcfe \udced\udca0\udc80"]


@pytest.mark.parametrize("text_format", list(TEXT_FORMATS))
@pytest.mark.parametrize("data", [b"\n", b" \t\r\n\x0c\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n", b"\n" * 100_000])
def test_white_space_is_no_document(path: Path, text_format: str, data: bytes) -> None:
    path.write_bytes(data)
    assert flat(read(path, text_format)[0]) == []


# === Separators ===


@pytest.mark.parametrize(
    ("separator", "text", "documents"),
    [
        ("---", "One.\n\nTwo.\n---\nThree.\n  ---\t\n---\nA --- b.\n---", ["One.\nTwo.", "Three.", "A --- b."]),
        ("<|endoftext|>", "<|endoftext|>\r\nOne.\r\n<|endoftext|>\r\nTwo.", ["One.", "Two."]),
        (r"\n", "One.\n\nTwo.\nThree.", ["One.", "Two.", "Three."]),
        ("\n", "One.\r\nTwo.", ["One.", "Two."]),
        (r"\n\n\n", "One.\n\nTwo.\n\n\nThree.\n\n\n\n\n\nFour.", ["One.\nTwo.", "Three.", "Four."]),
        (r"\n*\n", "One.\n*\nTwo. *\n", ["One.", "Two. *"]),
        (r"\\n", "One.\n\\n\nTwo.", ["One.", "Two."]),
    ],
)
def test_a_separator_of_ones_own(path: Path, separator: str, text: str, documents: list[str]) -> None:
    path.write_bytes(text.encode())
    for block_bytes in range(1, len(text) + 1):
        blocks, counts = read(path, "lines", block_bytes, separator=separator)
        assert flat(blocks) == documents
        assert not counts


@given(TEXTS, st.integers(1, 60), st.sampled_from(["---", r"\n", r"\n\n\n", "漢字"]))
def test_blocks_hold_the_same_documents_with_any_separator(
    path: Path, text: str, block_bytes: int, separator: str
) -> None:
    path.write_bytes(text.encode())
    for text_format in TEXT_FORMATS:
        whole, _ = read(path, text_format, separator=separator)
        blocks, counts = read(path, text_format, block_bytes, separator=separator)
        assert flat(blocks) == flat(whole)
        assert not counts


@given(TEXTS, st.integers(1, 9), st.sampled_from(["", "---", r"\n", r"\n\n\n", "漢字"]))
def test_it_does_not_matter_how_much_is_decoded_at_a_time(path: Path, text: str, size: int, separator: str) -> None:
    path.write_bytes(text.encode())
    for text_format in TEXT_FORMATS:
        whole = read(path, text_format, separator=separator)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_stream, "_PIECE_BYTES", size)
            assert read(path, text_format, separator=separator) == whole


# === A file in blocks ===


@settings(max_examples=300)
@given(TEXTS, st.integers(1, 60))
def test_blocks_of_any_size_hold_whole_documents_each_once(path: Path, text: str, block_bytes: int) -> None:
    path.write_bytes(text.encode())
    for text_format, documents in (("bert", documents_of), ("lines", documents_of), ("wrapped", wrapped_documents_of)):
        blocks, counts = read(path, text_format, block_bytes)
        assert flat(blocks) == documents(text)
        assert not counts


@given(BYTES.map(b"".join), st.integers(1, 40))
def test_blocks_of_invalid_text_are_read_alike(path: Path, data: bytes, block_bytes: int) -> None:
    path.write_bytes(data)
    assert flat(read(path, "bert", block_bytes)[0]) == flat(read(path, "bert")[0])


@settings(max_examples=300)
@given(TEXTS, st.integers(1, 60), st.integers(4, 30), st.sampled_from(list(TEXT_FORMATS)))
def test_no_character_is_lost_or_read_twice_where_documents_are_larger_than_the_window(
    path: Path, text: str, block_bytes: int, window: int, text_format: str
) -> None:
    path.write_bytes(text.encode())
    whole = "".join(" ".join(flat(read(path, text_format)[0])).split())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_reader, "_CUT_WINDOW", window)
        blocks, _ = read(path, text_format, block_bytes)
    # No character was cut in two, either: that would be surrogates.
    assert "".join(" ".join(flat(blocks)).split()) == whole


def test_a_long_document_is_cut_at_a_line_end_and_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_reader, "_CUT_WINDOW", 16)
    path.write_text("0123456789.\n" * 8 + "\nshort.\n\n0123456789.\n")
    blocks, counts = read(path, "bert", 40)
    lines = [line for document in flat(blocks) for line in document.split("\n")]
    assert lines == [*["0123456789."] * 8, "short.", "0123456789."]
    assert flat(blocks)[-2:] == ["short.", "0123456789."]
    assert counts == {"documents_cut": 2}
    assert len(flat(blocks)) == 5


def test_a_long_chapter_is_cut_between_paragraphs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_reader, "_CUT_WINDOW", 48)
    path.write_text("A line of a\nparagraph.\n\n" * 20)
    blocks, counts = read(path, "wrapped", 100)
    documents = flat(blocks)
    assert len(documents) > 1
    assert "\n".join(documents) == "\n".join(["A line of a paragraph."] * 20)
    assert counts == {"documents_cut": len(documents) - 1}


def test_a_text_without_line_ends_is_cut_at_spaces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_reader, "_CUT_WINDOW", 8)
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


# === Compressed files ===

COMPRESS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("compression", list(COMPRESS))
def test_a_compressed_file_is_read_as_it_was_before(path: Path, compression: str) -> None:
    text = "\ufeffEins – zwei.\r\nDrei.\r\n\r\n漢字。\n\n" * 3000
    path.write_bytes(COMPRESS[compression](text.encode()))
    blocks, counts = read(path, "bert", 100, compression=compression)
    assert blocks == [documents_of(text.removeprefix("\ufeff"))]
    assert not counts


def test_a_long_document_of_a_compressed_file_is_cut_and_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_reader, "_LONGEST", 1000)
    words = " ".join(f"{i:06d}" for i in range(2000))
    paragraphs = "\n".join(f"Paragraph {i:03d}." for i in range(500))
    path.write_bytes(gzip.compress(f"{words}\n\n{paragraphs}\n\n{'x' * 2500}".encode()))
    blocks, counts = read(path, "lines", compression="gzip")
    documents = flat(blocks)
    assert " ".join(documents).split() == [*words.split(), *paragraphs.split(), "x" * 1000, "x" * 1000, "x" * 500]
    assert max(map(len, documents)) <= 1000
    assert counts["documents_cut"] == len(documents) - 3


# === Files that are not as they should be ===


def test_a_file_that_shrank_is_an_error(path: Path) -> None:
    path.write_text("One.\n\n" * 10)
    segment = Segment(str(path), 0, 60, 60, 60)
    bert = separators("bert")
    assert len(texts_of(segment, bert, TextCounts())) == 10
    path.write_text("One.\n\n" * 9)
    with pytest.raises(
        InputError, match=r"became shorter: it had 60 bytes .* Received: 54 bytes\. Run the job again, and do not"
    ):
        texts_of(segment, bert, TextCounts())
    path.unlink()
    with pytest.raises(InputError, match=r"Cannot read .*No such file"):
        texts_of(segment, bert, TextCounts())


def test_what_was_appended_since_the_plan_is_not_read(path: Path) -> None:
    path.write_text("One.\n\n" * 10 + "Two.\n\n" * 10)
    for cuts in ([0, 60], [0, 30, 60], [0, 58, 60]):
        segments = [Segment(str(path), start, end, 60, end - start) for start, end in pairwise(cuts)]
        assert [d for s in segments for d in texts_of(s, separators("bert"), TextCounts())] == ["One."] * 10


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(b"One.", mtime=0), "a gzip file: its name must end in .gz"),
        (bz2.compress(b"One."), "bzip2"),
        (lzma.compress(b"One."), "xz"),
        (zstandard.compress(b"One."), "Zstandard"),
        ("One.".encode("utf-16"), "UTF-16: convert it to UTF-8 first"),
        (b"PAR1 and more", "Parquet"),
        (b"%PDF-1.7", "a PDF: extract its text first"),
    ],
)
def test_what_is_no_text_is_told_by_its_first_bytes(path: Path, data: bytes, what: str) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"text.txt is not text in UTF-8. Received: .*{what}"):
        read(path, "bert")
