"""Reading raw text in any format: the documents of a segment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipeline.text.config import TextConfig
from pipeline.text.reading.jsonl_reader import read_jsonl
from pipeline.text.reading.parquet_reader import read_parquet
from pipeline.text.reading.plan import Segment
from pipeline.text.reading.separators import separators
from pipeline.text.reading.text_reader import read_text, stripped_lines


def read_documents(segment: Segment, config: TextConfig, counts: Counter[str]) -> Iterator[str]:
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
    if segment.format == "jsonl":
        drop_bad = config.on_bad_text == "drop"
        texts = read_jsonl(segment, text_field=config.text_field, drop_bad=drop_bad, counts=counts)
    elif segment.format == "parquet":
        texts = read_parquet(segment, text_field=config.text_field, counts=counts)
    else:
        return read_text(segment, separators(segment.format, config.document_separator), counts)
    return (stripped_lines(text.replace("\r\n", "\n").replace("\r", "\n")) for text in texts)
