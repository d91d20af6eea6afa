"""The first example of docs/reading.md runs as it stands there, on a smaller corpus."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"


def test_the_example(numbered: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert "out/corpus" in code
    assert "1000" in code
    found: dict[str, object] = {}
    exec(code.replace("out/corpus", numbered()).replace("1000", "10"), found)
    shown = capsys.readouterr().out
    assert shown.startswith("2102\n[")
    assert shown.endswith("\n65\n(32, 24)\n")
    assert found["state"] == {"step": 1}
