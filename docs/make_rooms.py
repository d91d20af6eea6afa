"""Draws docs/rooms.svg, the rooms of docs/architecture.md, from the imports of the code: `make docs`."""

from __future__ import annotations

import ast
import html
import importlib.util
import itertools
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = Path(__file__).with_name("rooms.svg")
_WIDTH, _ROW, _BOX, _GAP, _LETTER = 1150, 50, 26, 12, 7.6
_CENTRES = (130, 375, 880)  # The centres of the columns.
_BEAM_HALF = ("text", "sample", "instances", "beam", "inspection")
_STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#1f2937}rect{fill:#eef2ff;stroke:#6366f1;rx:4}"
    "path{fill:none;stroke:#94a3b8;stroke-width:.8}rect.training{fill:#ecfdf5;stroke:#059669}"
    "rect.beam{fill:#fff7ed;stroke:#ea580c}"
)


def picture() -> str:
    """Returns the picture as SVG: a box for each room, above those that it imports."""
    rules = _rules()
    needs: dict[str, set[str]] = {room: set() for room in rules.RANK_OF}
    for path in rules.MODULES:
        here = rules.room_of(rules.name_of(path))
        if not here:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {rules.room_of(name) for name in rules.imports(tree, nested=True) if name.startswith("pipeline")}
        needs[here] |= found - {"", here} - {package for package in found if package == "training"}
    # No line is drawn to rooms that are also reached through another one.
    reached = {room: _reached(needs, room) for room in needs}
    drawn = {
        room: {below for below in direct if not any(below in reached[other] for other in direct - {below})}
        for room, direct in needs.items()
    }
    levels: dict[str, int] = {}
    for room in rules.RANK_OF:  # From the bottom: what a room imports comes before it.
        levels[room] = 1 + max((levels[below] for below in needs[room]), default=-1)
    places = _places(levels)
    height = (max(levels.values()) + 1) * _ROW + 20
    lines = [_line(places[room], places[below]) for room in places for below in sorted(drawn[room])]
    boxes = [_box(room, *places[room]) for room in places]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-size="12">'
    white = f'<path d="M0 0H{_WIDTH}V{height}H0Z" style="fill:#fff;stroke:none"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", white, *lines, *boxes, "</svg>"]) + "\n"


def _rules() -> Any:
    """Imports tests/test_imports.py, which defines the ranks."""
    spec = importlib.util.spec_from_file_location("import_rules", ROOT / "tests" / "test_imports.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _reached(needs: dict[str, set[str]], room: str) -> set[str]:
    found, waiting = set(), [room]
    while waiting:
        for below in needs[waiting.pop()] - found:
            found.add(below)
            waiting.append(below)
    return found


def _column(room: str) -> int:
    """Returns the column of a room: 0 for the Beam half, 1 for what both halves share, 2 for the training half."""
    half = room.split(".")[0]
    return 2 if half == "training" else 0 if half in _BEAM_HALF or room == "tokenizers.learning" else 1


def _label(room: str) -> str:
    return room.removeprefix("training.")


def _places(levels: dict[str, int]) -> dict[str, tuple[float, float, float]]:
    """Returns the left, top and width of each room's box."""
    places = {}
    for (level, column), rooms in itertools.groupby(
        sorted(levels, key=lambda room: (levels[room], _column(room))), lambda room: (levels[room], _column(room))
    ):
        widths = {room: len(_label(room)) * _LETTER + 16 for room in rooms}
        left = _CENTRES[column] - (sum(widths.values()) + _GAP * (len(widths) - 1)) / 2
        for room, width in widths.items():
            places[room] = (left, 10 + (max(levels.values()) - level) * _ROW, width)
            left += width + _GAP
    return places


def _line(above: tuple[float, float, float], below: tuple[float, float, float]) -> str:
    x, y = above[0] + above[2] / 2, above[1] + _BOX
    to_x, to_y = below[0] + below[2] / 2, below[1]
    middle = (y + to_y) / 2
    return f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}"/>'


def _box(room: str, left: float, top: float, width: float) -> str:
    half = room.split(".")[0]
    kind = f' class="{half}"' if half in ("training", "beam") else ""
    label = f'<text x="{left + 8:.0f}" y="{top + 17:.0f}">{html.escape(_label(room))}</text>'
    return f'<rect{kind} x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{_BOX}"/>{label}'


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
