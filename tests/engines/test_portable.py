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
    options = job_server("portable", [sys.executable, str(Path(__file__).with_name("job_server.py")), "--port="])
    environment = engines.environment("portable")
    done = engines.corpus("portable", *options, environment=environment)
    check("portable", done)
    assert len(done.pids) >= 2
    # None is killed here: this job server takes minutes to notice, unlike Prism, which test_prism.py runs.
    assert "starting it again" not in done.printed

    engines.vocab("portable.txt", *options, environment=environment)
    for name in ("", ".json"):
        made = (engines.folder / f"portable.txt{name}").read_bytes()
        assert made == (engines.folder / f"local.txt{name}").read_bytes()
