"""A document with its origin, and the tally of what became of documents."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pipeline.text.reading.segment import Segment

_SAMPLES = 3  # Documents kept for each reason of a drop.
_SAMPLE_CHARS = 80

Samples = dict[str, list[dict[str, str]]]


class Document(NamedTuple):
    """A document of raw text.

    Attributes:
        text: what it says.
        path: the file that holds it.
        place: where in the file, such as "line 12".
    """

    text: str
    path: str
    place: str


class TextCounts(Counter[str]):
    """Counts made while text is read and cleaned, with samples of the documents that were dropped.

    Attributes:
        dropped: for each reason, the first few documents that were dropped for it: "file", "place", and "text", their
            first characters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dropped: Samples = {}

    def drop(self, document: Document, reason: str) -> None:
        """Counts a document as "dropped/reason"."""
        self[f"dropped/{reason}"] += 1
        sample = {"file": document.path, "place": document.place, "text": _beginning(document.text)}
        add_samples(self.dropped, {reason: [sample]})


def add_samples(samples: Samples, more: Samples) -> None:
    """Adds samples of dropped documents to others, up to three for each reason."""
    for reason, documents in more.items():
        kept = samples.setdefault(reason, [])
        kept += documents[: _SAMPLES - len(kept)]


def place_in(segment: Segment, unit: str, number: int) -> str:
    """Says where in a file a document is.

    Args:
        segment: the part of the file that it was read from; its start is in bytes.
        unit: "line", "document" ...
        number: the number of the unit in the segment, from 1.
    """
    after = f" after byte {segment.start:,}" if segment.start else ""
    return f"{unit} {number:,}{after}"


def _beginning(text: str) -> str:
    """The first characters on one line, bytes that are not UTF-8 as question marks."""
    return " ".join(text[:_SAMPLE_CHARS].split()).encode("utf-8", "replace").decode()
