"""Spark: its local mode, and its local cluster with an executor of its own, behind Beam's job server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from engines.clusters import jars, java, needs_jars

pytestmark = [pytest.mark.slow, needs_jars("spark")]


def _job_server(master: str) -> list[str]:
    main = "org.apache.beam.runners.spark.SparkJobServerDriver"
    words = [f"--spark-master-url={master}", "--job-host=localhost", "--artifact-port=0", "--expansion-port=0"]
    options = ["-Dspark.ui.enabled=false"]
    return java("spark", main, *words, "--artifacts-dir=artifacts", "--job-port=", options=options)


def _without_upload(folder: Path) -> str:
    """The option of the job server that keeps it from sending all its jars with each job; Spark has them here."""
    (folder / "nothing").touch()
    return f"--files_to_stage={folder / 'nothing'}"


def test_a_worker_that_is_killed(
    engines: Any, check: Callable[..., None], job_server: Callable[..., list[str]], tmp_path: Path
) -> None:
    options = job_server("spark", _job_server("local[2]"), kill=True)
    done = engines.corpus("spark", *options, _without_upload(tmp_path), environment=engines.environment("spark"))
    check("spark", done)
    assert done.killed
    assert "restarting it" in done.printed  # In local mode, Spark repeats no task, unless it is local[2,4].
    assert len(done.pids) >= 2  # The one that was killed, and another.


def test_an_executor_that_is_killed(
    engines: Any,
    plain: Mapping[str, str],
    job_server: Callable[..., list[str]],
    begin: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Spark starts another and has it repeat the tasks."""
    home = tmp_path / "spark"
    home.mkdir()
    (home / "jars").symlink_to(jars("spark"))
    variables = {"SPARK_HOME": str(home), "SPARK_SCALA_VERSION": "2.12", "WATCHED_SECONDS": "0.3"}
    options = job_server("executor", _job_server("local-cluster[1,2,1024]"), variables=variables)
    command = begin("executor", *options, _without_upload(tmp_path))
    command.wait_for_a_block()
    (executor,) = _executors(home)
    os.kill(executor, signal.SIGKILL)
    done = command.end()
    assert engines.contents("executor") == plain
    assert "restarting it" not in done.printed


def _executors(home: Path) -> list[int]:
    """The processes that are executors of the cluster with this home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            where = (process / "cwd").resolve()
        except OSError:  # It has ended, or is not ours.
            continue
        if b"org.apache.spark.executor.CoarseGrainedExecutorBackend" in words and where.is_relative_to(home):
            found.append(int(process.name))
    return found
