"""The protocol by which Beam's Python jobs run on Flink and Spark: a job server, and SDK workers in other processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_a_job_server_and_workers_in_other_processes(
    engines: Any, check: Callable[..., None], job_server: Callable[..., list[str]]
) -> None:
    options = job_server(
        "portable", [sys.executable, str(Path(__file__).with_name("job_server.py")), "--port="], kill=True
    )
    environment = engines.environment("portable")
    done = engines.corpus("portable", *options, environment=environment)
    check("portable", done)
    assert done.killed
    assert "starting it again" in done.printed
    assert len(done.pids) >= 3  # Two at a time; the one that was killed, and those that did the work.

    engines.vocab("portable.txt", *options, environment=environment)
    for name in ("", ".json"):
        made = (engines.folder / f"portable.txt{name}").read_bytes()
        assert made == (engines.folder / f"local.txt{name}").read_bytes()
