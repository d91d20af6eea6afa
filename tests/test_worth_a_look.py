from __future__ import annotations

from typing import Any

import pytest

from pipeline.worth_a_look import corpus_notes, render, vocabulary_notes

OPTIONS = {
    "document_separator": "",
    "masked_lm_prob": 0.15,
    "max_seq_length": 128,
    "pairing": "next-sentence",
    "sentence_splitter": "auto",
    "validation_fraction": 0.02,
}
INPUTS = ({"path": "a.txt", "bytes": 2_700_000, "format": "lines"},)
# Four books, by chapters.
TEXT = {"characters": 2_755_558, "documents": 194, "sentences": 23_015, "documents_read": 194, "dropped": {}}
TRAIN = {
    "documents": 189,
    "label_1": 20_227,
    "label_1_share": 0.566,
    "tokens": 3_885_649,
    "tokens_truncated": 482_805,
    "unknown_share": 6e-6,
}
VALIDATION = {"documents": 5, "examples": 102, "tokens": 11_873}


def notes(
    *,
    options: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
    validation: dict[str, Any] | None = None,
    inputs: tuple[dict[str, Any], ...] = INPUTS,
) -> tuple[str, ...]:
    statistics = {
        "text": TEXT | (text or {}),
        "train": TRAIN | (train or {}),
        "validation": VALIDATION | (validation or {}),
    }
    return corpus_notes(OPTIONS | (options or {}), statistics, inputs)


def test_of_ordinary_text_there_are_none() -> None:
    assert notes() == ()
    assert notes(options={"document_separator": "<|endoftext|>"}) == ()
    assert notes(text={"characters_replaced": 20, "characters_removed": 900, "documents_with_separator": 1}) == ()
    assert notes(text={"dropped": {"few_letters": 30, "duplicate": 100}}) == ()
    assert notes(options={"pairing": "full-sentences"}, train={"label_1": 0, "label_1_share": 0.0}) == ()
    assert notes(options={"validation_fraction": 0}, validation={"examples": 0}) == ()
    packed = {"examples": 2000, "sequences": 2500, "padding_share": 0.02, "padding_unpacked_share": 0.2}
    assert notes(train=packed) == ()
    assert notes(train=packed | {"examples": 9, "padding_share": 0.3}) == ()
    assert render(()) == ""


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        (
            {"text": {"documents_read": 1}},
            r"whole input is one document: documents must be separated by a blank line .*separator '\n'",
        ),
        ({"text": {"documents_read": 7, "documents_cut": 6}}, "whole input is one document"),
        (
            {"text": {"documents_read": 1}, "inputs": ({"path": "a", "bytes": 9, "format": "wrapped"},)},
            "one document: documents must be separated by three blank lines",
        ),
        (
            {"text": {"documents_read": 2}, "options": {"document_separator": "---"}, "inputs": INPUTS * 2},
            "Every file is one document: within a file, documents must be separated by the separator '---'",
        ),
        (
            {"text": {"documents_read": 3}, "options": {"document_separator": "---"}, "inputs": ({"files": 3},)},
            "Every file is one document",
        ),
        ({"text": {"documents_read": 2}}, "The 2 documents are huge, 1,377,779 characters each"),
        ({"text": {"documents_with_separator": 3}}, r"'<|endoftext|>' occurs within lines of 3 documents"),
        (
            {"text": {"documents_with_separator": 3}, "options": {"document_separator": "---"}},
            "'---' occurs within lines of 3 documents",
        ),
        (
            {"text": {"documents": 140, "dropped": {"few_letters": 50, "too_short": 4, "bad_text": 0}}},
            "28% of the documents were dropped: 50 few letters, 4 too short.",
        ),
        (
            {"text": {"characters_replaced": 40_000}},
            "40,000 bytes (1.5% of the characters) were not valid UTF-8",
        ),
        ({"text": {"characters_removed": 40_000}}, "40,000 control characters were removed, 1.5% of the text"),
        ({"text": {"sentences": 800}}, "Sentences have 3,444 characters on average"),
        ({"train": {"pairs_within_document": 20_227}}, "100% of the random next sentences come from the same document"),
        ({"train": {"label_1_share": 1.0}}, "100% of the pairs have label 1"),
        ({"train": {"unknown_share": 0.908}}, "90.8% of the tokens are [UNK]"),
        ({"train": {"tokens_truncated": 8_000_000}}, "67% of the tokens were truncated"),
        (
            {"validation": {"tokens": 300, "documents": 1}},
            "about 45 predictions, from 1 document: too few for a reliable loss",
        ),
        ({"validation": {"examples": 0, "tokens": 0}}, "No document was selected for validation"),
    ],
)
def test_each_note_has_its_cause(changed: dict[str, Any], note: str) -> None:
    (found,) = notes(**changed)
    assert all(part in found for part in note.replace(r"separator '\n'", "").split(" .*"))
    assert "\n" not in found
    assert render([found]) == f"Worth a look\n  - {found}"


def test_packed_rows_that_are_padded() -> None:
    counts = {"examples": 2000, "sequences": 2010, "padding_share": 0.12, "padding_unpacked_share": 0.13}
    (note,) = notes(train=counts)
    assert note.startswith("12% of the packed rows are padding (13% without packing)")


def test_notes_on_vocabularies() -> None:
    fine = {
        "asked": 100,
        "entries": 100,
        "kind": "wordpiece",
        "min_count": 2,
        "unknown_share": 0.01,
        "strips_marks": "",
    }
    assert vocabulary_notes(**fine) == ()  # type: ignore[arg-type]
    (note,) = vocabulary_notes(**fine | {"entries": 90})  # type: ignore[arg-type]
    assert note.startswith(
        "The vocabulary has 90 entries instead of 100: the text has no further pieces that occur at least 2 times"
    )
    (note,) = vocabulary_notes(**fine | {"entries": 90, "kind": "bpe"})  # type: ignore[arg-type]
    assert "no further pieces. A model with a vocab_size of 100" in note
    (note,) = vocabulary_notes(**fine | {"unknown_share": 0.03})  # type: ignore[arg-type]
    assert note.startswith("3.0% of the tokens of held-out text are [UNK]")
    (note,) = vocabulary_notes(**fine | {"strips_marks": "a becomes b"})  # type: ignore[arg-type]
    assert "a becomes b. --no-lower-case keeps them" in note
