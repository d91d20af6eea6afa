"""Reading raw text in any format: the documents of a segment."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.text.config import TextConfig
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.formats import FORMATS
from pipeline.text.reading.segment import Segment


def read_documents(segment: Segment, config: TextConfig, counts: TextCounts) -> Iterator[Document]:
    """Reads the documents that begin in a segment.

    Args:
        segment: which part of which file.
        config: the options; the format is the segment's.
        counts: gets "documents_cut", and "dropped/..." for what is dropped while reading.

    Yields:
        Documents whose paragraphs (or sentences, in BERT's format) are lines of their own, without white space around
        them. A byte that is not UTF-8 is half a surrogate pair (`surrogateescape`).

    Raises:
        InputError: if the file cannot be read, is not as planned, or not in its format.
    """
    return FORMATS[segment.format].read(segment, config, counts)
