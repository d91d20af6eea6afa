"""A document with its origin, and counts of read and dropped documents."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pipeline.text.reading.segment import Segment

_SAMPLES = 3  # Dropped documents kept for each reason.
_SAMPLE_CHARS = 80

Samples = dict[str, list[dict[str, str]]]


class Document(NamedTuple):
    """A document of raw text.

    Attributes:
        text: its text.
        path: the file that contains it.
        place: its position in the file, such as "line 12".
    """

    text: str
    path: str
    place: str


class TextCounts(Counter[str]):
    """Counts of reading and cleaning text, with samples of the dropped documents.

    Attributes:
        dropped: for each reason, the first few documents dropped for it: "file", "place", and "text", their first
            characters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dropped: Samples = {}

    def drop(self, document: Document, reason: str) -> None:
        """Counts a document as "dropped/reason"."""
        self[f"dropped/{reason}"] += 1
        if len(self.dropped.get(reason, ())) == _SAMPLES:
            return
        sample = {"file": document.path, "place": document.place, "text": _beginning(document.text)}
        add_samples(self.dropped, {reason: [sample]})


def add_samples(samples: Samples, more: Samples) -> None:
    """Adds `more` samples of dropped documents to `samples`, up to three for each reason."""
    for reason, documents in more.items():
        kept = samples.setdefault(reason, [])
        kept += documents[: _SAMPLES - len(kept)]


def place_in(segment: Segment, unit: str, number: int) -> str:
    """Describes the position of a document in its file.

    Args:
        segment: the part of the file that it was read from; its start is in bytes.
        unit: "line", "document" ...
        number: the number of the unit in the segment, from 1.
    """
    after = f" after byte {segment.start:,}" if segment.start else ""
    return f"{unit} {number:,}{after}"


def _beginning(text: str) -> str:
    """Returns the first characters on one line, with question marks for bytes that are not valid UTF-8."""
    return " ".join(text[:_SAMPLE_CHARS].split()).encode("utf-8", "replace").decode()
