"""Durations as people read them."""

from __future__ import annotations

import itertools


def format_duration(seconds: float) -> str:
    """A duration in its two largest units, such as "1 h 20 min"; short ones in three digits: "3.16 s", "41.2 ms"."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 9.995:
        return f"{seconds:.3g} s"
    units = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for (name, size), (smaller, part) in itertools.pairwise(units):
        count, rest = divmod(round(seconds / part), size // part)
        if count:
            name += "s" * (name == "day" and count > 1)
            return f"{count:,} {name}" + (f" {rest} {smaller}" if rest and count < 100 else "")
    return f"{round(seconds)} s"
