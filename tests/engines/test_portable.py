"""The protocol by which Beam's Python jobs run on Flink and Spark: a job server, and SDK workers in other processes."""

from __future__ import annotations

import subprocess
import sys
import time
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
    assert "restarting it" in done.printed
    assert len(done.pids) >= 3  # Two at a time; the one that was killed, and those that did the work.

    engines.vocab("portable.txt", *options, environment=environment)
    for name in ("", ".json"):
        made = (engines.folder / f"portable.txt{name}").read_bytes()
        assert made == (engines.folder / f"local.txt{name}").read_bytes()


def test_a_job_that_outlives_its_command_spoils_no_other(
    engines: Any, started: Any, job_server: Callable[..., list[str]]
) -> None:
    """A command is killed; its job runs on, with another seed than the command that follows in the same directory."""
    options = job_server("outlived", [sys.executable, str(Path(__file__).with_name("job_server.py")), "--port="])
    environment = engines.environment("outlived")
    words = engines.corpus_words("outlived", "--seed", "1", *options)
    first = started(words, cwd=engines.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work = engines.folder / "outlived" / ".blocks"
    deadline = time.monotonic() + 300
    while not list(work.glob("block-*.json")):
        assert first.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.kill()
    first.wait()
    engines.corpus("outlived", "--seed", "2", environment=engines.environment("outlived-2"))
    engines.corpus("undisturbed", "--seed", "2", environment=engines.environment("undisturbed"))
    assert engines.contents("outlived") == engines.contents("undisturbed")
    time.sleep(10)  # The job may still be at it.
    assert engines.contents("outlived") == engines.contents("undisturbed")
