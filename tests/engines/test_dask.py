"""Dask, as its users run it: a cluster made for the run, and one that is there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
Start = Callable[..., "subprocess.Popen[bytes]"]


def test_a_cluster_made_for_the_run(engines: Any, check: Callable[..., None]) -> None:
    done = engines.corpus("dask", "--runner=DaskRunner", kill=True)
    check("dask", done)
    assert len(done.pids) >= 2  # And maybe the one that took the place of the one that was killed.
    assert done.killed
    assert "restarting it" not in done.printed  # Dask itself gave the other worker what was lost.


@pytest.fixture
def scheduler_file(engines: Any, started: Start, tmp_path: Path) -> Path:
    """The file that tells where a scheduler is, whose two workers were started by their own command."""
    environment = engines.workers("dask-cluster", kill=True)
    path = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    log = (tmp_path / "log").open("wb")
    options = {"env": environment, "stdout": log, "stderr": log, "cwd": tmp_path}
    started(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", path],
        **options,
    )
    for _ in range(2):
        started([*dask, "worker", "--scheduler-file", path, "--nthreads", "1", "--no-dashboard"], **options)
    return path


def test_a_scheduler_with_two_workers(
    engines: Any, check: Callable[..., None], scheduler_file: Path, started: Start
) -> None:
    from distributed import Client

    deadline = time.monotonic() + 120
    while not scheduler_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with Client(scheduler_file=str(scheduler_file)) as client:
        client.wait_for_workers(2, timeout=120)
    environment = engines.environment("dask-cluster")
    arguments = ["--runner=DaskRunner", f"--dask_scheduler_file={scheduler_file}"]
    done = engines.corpus("cluster", *arguments, environment=environment)
    check("cluster", done)
    assert len(done.pids) >= 2
    assert done.killed
    assert "restarting it" not in done.printed

    engines.vocab("dask.txt", *arguments, environment=environment)
    for name in ("", ".json"):
        assert (engines.folder / f"dask.txt{name}").read_bytes() == (engines.folder / f"local.txt{name}").read_bytes()
