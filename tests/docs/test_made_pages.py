"""What `make docs` writes is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading import load_script

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["api", "options"])
def test_a_page(name: str) -> None:
    script = load_script(DOCS / f"make_{name}.py")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run `make docs`"


def test_the_picture_of_the_rooms() -> None:
    script = load_script(DOCS / "make_rooms.py")
    assert script.PICTURE.read_text(encoding="utf-8") == script.picture(), "run `make docs`"
