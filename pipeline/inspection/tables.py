"""Formats numbers and tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def count(number: float) -> str:
    """Formats a number of things: "1,234"."""
    return f"{number:,.0f}"


def percent(share: float) -> str:
    """Formats a share: "14.9 %"; a small one with one significant digit: "0.0003 %"."""
    return f"{100 * share:.1g} %" if share < 0.001 else f"{100 * share:.1f} %"


def size(number: float) -> str:
    """Formats bytes in the largest unit that leaves a digit before the point: "110 MB"."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


def table(rows: Iterable[Sequence[str]], *, indent: str = "") -> str:
    """Formats rows as lines with aligned columns: the first to the left, the others to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)
