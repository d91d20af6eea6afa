"""Reads Parquet: one document per row, in a column of text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline import files
from pipeline.errors import InputError
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
        columns = dict(_columns(file.schema_arrow))
        if text_field not in columns:
            shown = ", ".join(list(columns)[:20]) + ", ..." * (len(columns) > 20)
            raise InputError(
                f"{path} must have a column {text_field}",
                received=f"the columns {shown}",
                do="Name the column with --text-field",
            )
        paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        column = paths.index(text_field) if text_field in paths else None  # A list column's path has further parts.
        if column is None or not _is_text(columns[text_field]):
            physical = None if column is None else metadata.schema.column(column).physical_type
            named = column is None or physical == "BYTE_ARRAY" or str(columns[text_field]) == "null"
            raise InputError(
                f"The column {text_field} of {path} must hold text, one string per row",
                received=columns[text_field] if named else physical,
                do="Name another column with --text-field",
            )
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
                f"{segment.path} must hold the row groups that it held when the job was planned",
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
            if isinstance(column.type, pa.BaseExtensionType):
                column = column.storage
            if pa.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            # Read as bytes, which may be invalid UTF-8.
            for value in column.cast(pa.large_binary()).to_pylist():
                text = (value or b"").decode("utf-8", "surrogateescape")
                document = Document(text, segment.path, f"row {next(rows):,}")
                if value is None:
                    counts.drop(document, "no_text")
                else:
                    yield document


def _columns(fields: Iterable[Any], parent: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the columns' names and types; nested columns have dotted names."""
    import pyarrow as pa

    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _columns(field.type, f"{parent}{field.name}.")
        else:
            yield f"{parent}{field.name}", field.type


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _is_text(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return any(
        getattr(pa.types, f"is_{name}")(kind)
        for name in ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    )


@contextmanager
def _open(path: str) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with files.open_read(path) as stream:
        try:
            yield pq.ParquetFile(stream, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path} must be a whole Parquet file",
                received=" ".join(str(error).split())[:200],
                do="Download or write it again; the results of other files are kept",
            ) from error
