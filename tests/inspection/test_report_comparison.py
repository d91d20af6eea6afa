from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.inspection.report import make_report
from pipeline.inspection.report_comparison import document_length
from pipeline.inspection.tables import percent
from pipeline.manifest import read_manifest, write_manifest


def columns(page: str) -> dict[str, tuple[str, ...]]:
    """The cells of each row of a page's first table, by the first cell."""
    table = page[page.index("<table>") : page.index("</table>")]
    rows = [re.findall(r"<t[dh]>(.*?)</t[dh]>", row) for row in table.split("</tr>") if "<tr>" in row]
    return {name: tuple(cells) for name, *cells in rows}


def make(folder: Path, name: str, text: bytes, *options: str) -> str:
    source, out = folder / f"{name}.txt", folder / "out" / name
    source.write_bytes(text)
    arguments = ["corpus", "--input", str(source), "--format", "bert", "--output", str(out), "--workers", "1"]
    arguments += ["--vocab", str(folder / "vocab.txt"), "--max-seq-length", "16", "--dupe-factor", "1"]
    assert main([*arguments, "--validation-fraction", "0", "--short-seq-prob", "0", "--no-progress", *options]) == 0
    return str(out)


@pytest.fixture
def small(tmp_path: Path) -> tuple[str, str]:
    letters = "".join(f"{letter}\n##{letter}\n" for letter in "abcd")
    (tmp_path / "vocab.txt").write_text(f"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{letters}")
    # In each document, eight tokens in six words, with the two full stops, which are unknown.
    one = make(tmp_path, "one", b"ab cd.\na b.\n\n" * 3, "--pairing", "doc-sentences")
    two = make(tmp_path, "two", b"a b\xff c d\na b c d a b c d a b c d\n\n" * 4, "--pairing", "next-sentence")
    return one, two


def test_the_command_compares_corpora(small: tuple[str, str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["report", *small, "--output", str(page)]) == 0
    text = page.read_text()
    rows = columns(text)
    assert rows[""] == ("one", "two")
    assert rows["documents"] == ("3", "4")
    assert rows["tokens of the text"][0] == "24"
    assert rows["[UNK], of tokens"][0] == percent(6 / (24 + 2 * 3))
    assert rows["tokens per word"][0] == f"{8 / 6:.2f}"
    assert rows["vocabulary used in the sample"][0] == percent(5 / 8)
    assert rows["characters replaced by U+FFFD"] == ("0 %", percent(1 / (9 + 23)))
    train = read_manifest(small[1]).statistics["train"]
    assert rows["tokens cut off to fit"] == (
        "0 %",
        percent(train["tokens_truncated"] / (train["tokens"] + train["tokens_truncated"])),
    )
    assert train["tokens_truncated"] > 0
    assert rows["characters in a document, median"] == ("about 11", "about 45")  # Of 8 to 15, and of 32 to 63.
    assert [text.count(f"<summary>{name}</summary>") for name in ("one", "two")] == [1, 1]
    assert text.count("<h2>Vocabulary</h2>") == 2
    assert "The vocabularies differ" not in text


def test_what_an_older_manifest_lacks_is_left_out(small: tuple[str, str]) -> None:
    manifest = read_manifest(small[0])
    statistics = {split: dict(counts) for split, counts in manifest.statistics.items()}
    del statistics["text"]["document_lengths"], statistics["text"]["characters"], statistics["train"]["text_tokens"]
    write_manifest(dataclasses.replace(manifest, statistics=statistics), small[0])
    rows = columns(make_report(*small))
    for name in ("characters in a document, median", "characters replaced by U+FFFD", "tokens of the text"):
        assert rows[name][0] == "-"
        assert rows[name][1] != "-"


def test_other_vocabularies_are_noted(small: tuple[str, str], tmp_path: Path) -> None:
    with (tmp_path / "vocab.txt").open("a") as vocabulary:
        vocabulary.write("e\n")
    assert "The vocabularies differ" in make_report(small[0], make(tmp_path, "three", b"a b c d e.\n\n"))


def test_quantiles_are_within_their_range() -> None:
    assert document_length({"3": 1, "4": 1}, 0.5) == 8.0
    assert document_length({"4": 2}, 0.5) == pytest.approx(8 * 2**0.5)
    draw = np.random.default_rng(3)
    lengths = draw.lognormal(6, 1.5, 10_000).astype(int) + 1
    digits, documents = np.unique([int(length).bit_length() for length in lengths], return_counts=True)
    known = {str(number): int(count) for number, count in zip(digits, documents, strict=True)}
    for share in (0.5, 0.95, 1.0):
        assert document_length(known, share) == pytest.approx(np.quantile(lengths, share), rel=0.1 if share < 1 else 1)
