"""Corpora whose examples can be told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oracles.numbered import KINDS, write_numbered


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Makes a corpus of some kind, or finds it; its directory."""
    made: dict[str, str] = {}
    folder = tmp_path_factory.mktemp("numbered")

    def make(kind: str = "static", sizes: tuple[int, ...] = (700, 1000, 333, 64, 5), **options: Any) -> str:
        key = repr((kind, sizes, options))
        if key not in made:
            made[key] = str(folder / f"corpus{len(made)}")
            write_numbered(Path(made[key]), sizes, **{**KINDS[kind], **options})
        return made[key]

    return make
