from __future__ import annotations

import pytest

from pipeline.inspection.tables import count, percent, size, table


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (61_800, "61.8 kB"), (618_000, "618 kB"), (3.2e12, "3.2 TB")],
)
def test_sizes(number: float, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (1, "100.0 %"), (0.1487, "14.9 %"), (0.0012, "0.1 %"), (0.0000031, "0.0003 %")]
)
def test_shares(share: float, text: str) -> None:
    assert percent(share) == text


def test_counts() -> None:
    assert [count(0), count(1234567), count(2.6)] == ["0", "1,234,567", "3"]


def test_columns_are_aligned() -> None:
    assert table([("", "a", "bb"), ("name", "1", "22,222")], indent="  ") == "        a      bb\n  name  1  22,222"
