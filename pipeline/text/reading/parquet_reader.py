"""Reads Parquet: one document per row, in a column of text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline import files
from pipeline.errors import InputError
from pipeline.text.reading.columns import find_column, is_text, not_text, texts_of
from pipeline.text.reading.document import Document, TextCounts
from pipeline.text.reading.segment import Segment

_ROWS = 256  # Rows decoded at a time.


def text_bytes_of_row_groups(path: str, text_field: str) -> tuple[int, ...]:
    """Reads from a file's footer how many bytes of text each row group holds, uncompressed.

    Args:
        path: the file.
        text_field: the column of the text; "a.b.c" for nested ones.

    Raises:
        InputError: if the file cannot be read, is not Parquet, or has no such column of text.
    """
    with _open(path) as file:
        metadata = file.metadata
        _, kind = find_column(path, file.schema_arrow, text_field)
        paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        column = paths.index(text_field) if text_field in paths else None  # A list column's path has further parts.
        if column is None or not is_text(kind):
            physical = None if column is None else metadata.schema.column(column).physical_type
            named = column is None or physical == "BYTE_ARRAY" or str(kind) == "null"
            raise not_text(path, text_field, kind if named else physical)
        row_groups = map(metadata.row_group, range(metadata.num_row_groups))
        return tuple(group.num_rows and group.column(column).total_uncompressed_size for group in row_groups)


def read_parquet(segment: Segment, *, text_field: str, counts: TextCounts) -> Iterator[Document]:
    """Reads the documents of row groups of a Parquet file.

    Args:
        segment: the row groups of a file to read.
        text_field: the column of the text; "a.b.c" for nested ones.
        counts: gets "dropped/no_text" for a row without a value.

    Yields:
        The documents, with their texts unchanged. A byte that is not valid UTF-8 is a lone surrogate
        (`surrogateescape`).

    Raises:
        InputError: if the file cannot be read or is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    with _open(segment.path) as file:
        if file.metadata.num_row_groups < segment.end:
            raise InputError(
                f"{segment.path} has fewer row groups than when the job was planned",
                received=f"{file.metadata.num_row_groups} row groups",
                do="Run the job again, and do not change its inputs while it runs",
            )
        batches = file.iter_batches(
            batch_size=_ROWS, row_groups=range(segment.start, segment.end), columns=[text_field], use_threads=False
        )
        rows = itertools.count(1 + sum(file.metadata.row_group(group).num_rows for group in range(segment.start)))
        for batch in batches:
            # A column of exactly this name takes precedence over a nested one.
            column = batch.column(text_field if text_field in batch.schema.names else 0)
            while pa.types.is_struct(column.type):  # Only the requested field is read.
                column = pc.struct_field(column, [0])
            for text in texts_of(column):
                document = Document(text or "", segment.path, f"row {next(rows):,}")
                if text is None:
                    counts.drop(document, "no_text")
                else:
                    yield document


@contextmanager
def _open(path: str) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with files.open_read(path) as stream:
        try:
            yield pq.ParquetFile(stream, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path} is not a complete Parquet file",
                received=" ".join(str(error).split())[:200],
                do="Download or write it again; the results of other files are kept",
            ) from error
