"""Prism, Beam's runner in Go: the protocol of Flink and Spark spoken by another implementation than Python's."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PRISM = shutil.which("prism", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PRISM, reason="make test-engines has it")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_prism_and_a_worker_in_another_process(
    engines: Any,
    check: Callable[..., None],
    started: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    log = (tmp_path / "log").open("wb")
    options = {"env": engines.workers("prism", kill=True), "stdout": log, "stderr": log, "cwd": tmp_path}
    server, pool = free_port(), free_port()
    started([PRISM, f"-job_port={server}", "-serve_http=false"], **options)
    started([sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"], **options)
    wait_for(server)
    wait_for(pool)
    done = engines.corpus(
        "prism",
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{server}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool}",
        environment=engines.environment("prism"),
    )
    check("prism", done)
    assert done.killed
    assert "starting it again" in done.printed
    assert len(done.pids) >= 2  # Prism starts one worker at a time; the one that was killed, and another.
