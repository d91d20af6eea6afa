"""Columns of text in Arrow's tables: finding one by its name, and reading its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.errors import InputError

_MOST_SHOWN = 20


def missing_column(path: str, text_field: str, names: Iterable[str], *, do: str = "") -> InputError:
    """The error of a file that lacks the column of the text."""
    names = list(names)
    shown = ", ".join(names[:_MOST_SHOWN]) + ", ..." * (len(names) > _MOST_SHOWN)
    return InputError(
        f"{path} has no column {text_field}",
        received=f"the columns {shown}",
        do=f"Name the column with --text-field{do}",
    )


def not_text(path: str, text_field: str, kind: object) -> InputError:
    """The error of a file whose column of that name does not hold text."""
    return InputError(
        f"The column {text_field} of {path} must contain text, one string per row",
        received=kind,
        do="Name another column with --text-field",
    )


def find_column(path: str, schema: Any, text_field: str) -> tuple[tuple[int, ...], Any]:
    """Finds a column of text; one of exactly this name takes precedence over a nested one.

    Args:
        path: the file, for messages.
        schema: a `pyarrow.Schema`.
        text_field: the column; "a.b.c" for nested ones.

    Returns:
        Its number, followed by those of the fields within it; and its type, which need not be one of text.

    Raises:
        InputError: if there is no such column.
    """
    columns = list(_columns(schema))
    found = [(place, kind) for name, place, kind in columns if name == text_field]
    if not found:
        raise missing_column(path, text_field, (name for name, _, _ in columns))
    return min(found, key=lambda column: len(column[0]))


def is_text(kind: Any) -> bool:
    """Whether the values of a `pyarrow.DataType` are strings or bytes."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return is_text(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return any(
        getattr(pa.types, f"is_{name}")(kind)
        for name in ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    )


def texts_of(column: Any) -> Iterator[str | None]:
    """Yields the values of a `pyarrow.Array` of text; a byte that is not valid UTF-8 is a lone surrogate.

    Raises:
        pyarrow.ArrowInvalid: if the array is damaged.
    """
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    column = column.cast(pa.large_binary())  # Read as bytes, which may be invalid UTF-8.
    column.validate(full=True)
    for value in column.to_pylist():
        yield None if value is None else value.decode("utf-8", "surrogateescape")


def _columns(fields: Iterable[Any], parent: str = "", place: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yields the columns' names, places and types; nested columns have dotted names."""
    import pyarrow as pa

    for number, field in enumerate(fields):
        if pa.types.is_struct(field.type):
            yield from _columns(field.type, f"{parent}{field.name}.", (*place, number))
        else:
            yield f"{parent}{field.name}", (*place, number), field.type
