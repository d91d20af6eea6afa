"""Reads the documents of a segment, in any format."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.text.config import TextConfig
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.formats import FORMATS
from pipeline.text.reading.segment import Segment


def read_documents(segment: Segment, config: TextConfig, counts: TextCounts) -> Iterator[Document]:
    """Reads the documents that begin in a segment.

    Args:
        segment: the part of a file to read.
        config: the options; the format is the segment's.
        counts: gets "documents_cut", and "dropped/..." for documents dropped while reading.

    Yields:
        Documents with one paragraph (or sentence, in BERT's format) per line, without white space around it. A byte
        that is not valid UTF-8 is a lone surrogate (`surrogateescape`).

    Raises:
        InputError: if the file cannot be read, differs from the plan, or is not in its format.
    """
    return FORMATS[segment.format].read(segment, config, counts)
