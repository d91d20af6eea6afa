"""The picture of the rooms is that of the imports."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "make_rooms.py"


def test_picture_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_rooms", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.PICTURE.read_text(encoding="utf-8") == module.picture(), "run `make docs`"
