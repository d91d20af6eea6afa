"""The protocol by which Beam's Python jobs run on Flink and Spark: a job server, and SDK workers in other processes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
Start = Callable[..., "subprocess.Popen[bytes]"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def cluster(engines: Any, started: Start, tmp_path: Path) -> list[str]:
    """The options that lead to a job server and a pool of SDK workers, each started by its own command."""
    log = (tmp_path / "log").open("wb")
    options = {"env": engines.workers("portable", kill=True), "stdout": log, "stderr": log, "cwd": tmp_path}
    port_file, pool = tmp_path / "port", free_port()
    started([sys.executable, Path(__file__).with_name("job_server.py"), port_file], **options)
    started([sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"], **options)
    wait_for(lambda: port_file.exists() and bool(port_file.read_text()), "the job server")
    wait_for(lambda: listens(pool), "the worker pool")
    return [
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{port_file.read_text()}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool}",
    ]


def test_a_job_server_and_workers_in_other_processes(
    engines: Any, check: Callable[..., None], cluster: list[str]
) -> None:
    environment = engines.environment("portable")
    done = engines.corpus("portable", *cluster, environment=environment)
    check("portable", done)
    assert len(done.pids) >= 2
    assert done.killed
    # This job server fails a job with its worker, as Flink does by default; the command goes on with what is left.
    assert "starting it again" in done.printed

    engines.vocab("portable.txt", *cluster, environment=environment)
    for name in ("", ".json"):
        made = (engines.folder / f"portable.txt{name}").read_bytes()
        assert made == (engines.folder / f"local.txt{name}").read_bytes()
