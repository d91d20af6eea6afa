"""Draws charts as inline SVG, without a library: bars, points and lines in the page's own colours."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 12, 12, 44
_COLOURS = ("#1b6ac9", "#c2410c", "#15803d", "#a21caf", "#0e7490", "#854d0e")


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
        label: what it shows, with the unit.
        low: the value at its beginning.
        high: the value at its end.
        logarithmic: whether the scale is logarithmic.
        text: formats a value.
    """

    label: str
    low: float
    high: float
    logarithmic: bool = False
    text: Callable[[float], str] = "{:,.6g}".format

    def place(self, value: float) -> float:
        """Returns the position of a value on the axis, from 0 to 1."""
        if self.logarithmic:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Returns round values within the axis."""
        if self.logarithmic:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**power for power in powers]
        rough = (self.high - self.low) / 5
        step = 10 ** math.floor(math.log10(rough))
        step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def bars(heights: Sequence[tuple[float, float, float]], x: Axis, y: Axis) -> str:
    """Draws a histogram: bars of (left, right, height)."""
    shapes = []
    for left, right, height in heights:
        x0, x1, top = _x(x, left), _x(x, right), _y(y, height)
        title = f"{x.text(left)} to {x.text(right)}: {y.text(height)}"
        width, tall = max(x1 - x0 - 1, 0.5), _HEIGHT - _BOTTOM - top
        shapes.append(
            f'<rect class="mark" x="{x0:.1f}" y="{top:.1f}" width="{width:.1f}" height="{tall:.1f}">'
            f"<title>{html.escape(title)}</title></rect>"
        )
    return _chart(shapes, x, y)


def series(points: Sequence[tuple[float, float]], line: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    """Draws points of observed values, and a line of expected ones."""
    shapes = [f'<circle class="mark" cx="{_x(x, a):.1f}" cy="{_y(y, b):.1f}" r="2.2"/>' for a, b in points]
    path = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in line)
    return _chart([*shapes, f'<polyline class="expected" points="{path}"/>'], x, y)


def named_lines(named: Mapping[str, Sequence[tuple[float, float]]], x: Axis, y: Axis) -> str:
    """Draws a line through the points of each name, each in its own colour, with the names in the top left corner."""
    shapes = []
    for index, (name, points) in enumerate(named.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        places = [(_x(x, a), _y(y, b)) for a, b in points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shapes += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in places]
        at = f'x="{_LEFT + 10}" y="{_TOP + 12 + 15 * index}"'
        shapes.append(f'<text {at} style="fill: {colour}">{html.escape(name)}</text>')
    return _chart(shapes, x, y)


def named_bars(values: Sequence[tuple[str, float, float | None]], text: Callable[[float], str]) -> str:
    """Draws horizontal bars, each of (name, value, expected value or None)."""
    row, label_width, value_width = 30, 190, 190
    height = row * len(values) + 4
    most = max([*(v for _, v, _ in values), *(e for _, _, e in values if e is not None)], default=0) or 1
    scale = (_WIDTH - label_width - value_width) / most
    shapes = []
    for index, (name, value, expected) in enumerate(values):
        top = index * row + 4
        shapes.append(f'<text class="name" x="{label_width - 8}" y="{top + 15}">{html.escape(name)}</text>')
        shapes.append(f'<rect class="mark" x="{label_width}" y="{top}" width="{value * scale:.1f}" height="20"/>')
        shown = text(value)
        end = value
        if expected is not None:
            at = label_width + expected * scale
            shapes.append(f'<line class="expected" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 3}" y2="{top + 23}"/>')
            shown += f" (expected {text(expected)})"
            end = max(value, expected)
        shapes.append(f'<text class="value" x="{label_width + end * scale + 6:.1f}" y="{top + 15}">{shown}</text>')
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(shapes)}</svg>'


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _TOP - _BOTTOM)


def _chart(shapes: Sequence[str], x: Axis, y: Axis) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for tick in y.ticks():
        at = _y(y, tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="name" x="{_LEFT - 6}" y="{at + 4:.1f}">{html.escape(y.text(tick))}</text>')
    for tick in x.ticks():
        at = _x(x, tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 17}">{html.escape(x.text(tick))}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{_HEIGHT - 6}">{html.escape(x.label)}</text>')
    upright = f"rotate(-90 12 {(_TOP + bottom) / 2})"
    parts.append(
        f'<text class="tick" x="12" y="{(_TOP + bottom) / 2}" transform="{upright}">{html.escape(y.label)}</text>'
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join([*parts, *shapes])}</svg>'
