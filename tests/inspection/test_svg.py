from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from pipeline.inspection.svg import Axis, bars, named_bars, named_lines, series


def test_places_and_ticks() -> None:
    axis = Axis("x", 0, 128)
    assert [axis.place(value) for value in (0, 64, 128)] == [0, 0.5, 1]
    assert axis.ticks() == [0, 50, 100]
    logarithmic = Axis("x", 1, 10_000, logarithmic=True)
    assert [logarithmic.place(value) for value in (1, 100, 10_000)] == pytest.approx([0, 0.5, 1])
    assert logarithmic.ticks() == [1, 10, 100, 1000, 10_000]


def test_bars_are_as_high_as_their_values() -> None:
    svg = bars([(0, 1, 1.0), (1, 2, 0.5), (2, 3, 0.0)], Axis("<x>", 0, 3), Axis("y", 0, 1))
    heights = [float(h) for h in re.findall(r'<rect class="mark"[^>]* height="([\d.]+)"', svg)]
    assert heights[1] == pytest.approx(heights[0] / 2, abs=0.1)
    assert heights[2] == 0
    ElementTree.fromstring(svg)


def test_points_and_names_are_all_there() -> None:
    x, y = Axis("rank", 1, 100, logarithmic=True), Axis("count", 1, 100, logarithmic=True)
    svg = series([(1, 100), (10, 10), (100, 1)], [(1, 100), (100, 1)], x, y)
    assert svg.count("<circle") == 3
    ElementTree.fromstring(svg)
    svg = named_bars([("a & b", 0.8, 0.79), ("c", 0.2, None)], "{:.2f}".format)
    assert "0.80 (expected 0.79)" in svg
    assert svg.count('class="expected"') == 1
    ElementTree.fromstring(svg)


def test_every_name_has_its_line() -> None:
    x, y = Axis("MB", 1, 100, logarithmic=True), Axis("s", 1, 100, logarithmic=True)
    root = ElementTree.fromstring(named_lines({"a & b": [(1, 1), (100, 10)], "c": [(1, 100), (100, 100)]}, x, y))
    texts = [text.text for text in root.iter("text")]
    assert {"a & b", "c", "MB", "s"} <= set(texts)
    first, second = ([float(p.split(",")[1]) for p in line.get("points", "").split()] for line in root.iter("polyline"))
    bottom, top = first[0], second[0]
    assert first[1] == pytest.approx((bottom + top) / 2, abs=0.1)
    assert second[1] == top < bottom
