"""Reads, cleans and counts the documents of a block: the first step of every job that reads text."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.text.cleaning import clean_document
from pipeline.text.config import TextConfig
from pipeline.text.readers import read_documents
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.segment import Segment
from pipeline.text.reading.separators import separators


def clean_documents(segment: Segment, config: TextConfig, counts: TextCounts) -> Iterator[Document]:
    """Reads and cleans the documents that begin in a segment.

    Args:
        segment: the part of a file to read.
        config: the options.
        counts: gets what `read_documents` and `clean_document` count, and "documents_with_separator" for documents that
            contain the separator (by default, "<|endoftext|>") as text.

    Yields:
        Documents of at least one character, with one paragraph (or sentence) per line.

    Raises:
        InputError: if the file cannot be read, differs from the plan, or is not in its format.
    """
    rules = config.cleaning_rules()
    mark = separators(segment.format, config.document_separator).mark
    drop_bad_text = config.on_bad_text == "drop"
    for document in read_documents(segment, config, counts):
        clean = clean_document(document, rules, drop_bad_text=drop_bad_text, counts=counts)
        if clean is not None:
            if mark and mark in clean.text:
                counts["documents_with_separator"] += 1
            yield clean
