"""Reading Parquet: a column holds a document a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline import files
from pipeline.errors import InputError
from pipeline.text.plan import Segment

_ROWS = 256  # Rows decoded at a time.


def text_bytes_of_row_groups(path: str, text_field: str) -> tuple[int, ...]:
    """Reads from a file's footer how many bytes of text each row group holds, uncompressed.

    Args:
        path: the file.
        text_field: the column of the text; "a.b.c" for nested ones.

    Raises:
        InputError: if it cannot be read, is not Parquet, or has no such column of text.
    """
    with _open(path) as file:
        metadata = file.metadata
        names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        if text_field not in names:
            shown = ", ".join(names[:20]) + ", ..." * (len(names) > 20)
            raise InputError(
                f"{path} must have a column {text_field}",
                received=f"the columns {shown}",
                do="Name the column with --text-field",
            )
        column = names.index(text_field)
        kind = metadata.schema.column(column).physical_type
        if kind != "BYTE_ARRAY":
            raise InputError(
                f"The column {text_field} of {path} must hold text", received=kind, do="Name another with --text-field"
            )
        row_groups = map(metadata.row_group, range(metadata.num_row_groups))
        return tuple(group.num_rows and group.column(column).total_uncompressed_size for group in row_groups)


def read_parquet(segment: Segment, *, text_field: str, counts: Counter[str]) -> Iterator[str]:
    """Reads the documents of row groups of a Parquet file.

    Args:
        segment: which row groups of which file.
        text_field: the column of the text; "a.b.c" for nested ones.
        counts: gets "dropped/no_text" for a row without a value.

    Yields:
        The texts, as they are. A byte that is not UTF-8 is half a surrogate pair (`surrogateescape`).

    Raises:
        InputError: if the file cannot be read or is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    nested = text_field.split(".")[1:]
    with _open(segment.path) as file:
        if file.metadata.num_row_groups < segment.end:
            raise InputError(
                f"{segment.path} must hold the row groups that it held when the job was planned",
                received=f"{file.metadata.num_row_groups} row groups",
                do="Leave the inputs alone while the job runs, then run it again",
            )
        batches = file.iter_batches(
            batch_size=_ROWS, row_groups=range(segment.start, segment.end), columns=[text_field], use_threads=False
        )
        for batch in batches:
            column = batch.column(0)
            if nested:
                column = pc.struct_field(column, nested)
            if pa.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            # As bytes, for what is not UTF-8.
            for value in column.cast(pa.large_binary()).to_pylist():
                if value is None:
                    counts["dropped/no_text"] += 1
                else:
                    yield value.decode("utf-8", "surrogateescape")


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
                do="Fetch or write it again; what other files gave is kept",
            ) from error
