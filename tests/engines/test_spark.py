"""Spark: its local mode and its local cluster, behind Beam's job server."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from engines.clusters import jars, java, needs_jars

pytestmark = [pytest.mark.slow, needs_jars("spark")]


def _job_server(master: str, *options: str) -> list[str]:
    main = "org.apache.beam.runners.spark.SparkJobServerDriver"
    words = [f"--spark-master-url={master}", "--job-host=localhost", "--artifact-port=0", "--expansion-port=0"]
    return java("spark", main, *words, "--artifacts-dir=artifacts", "--job-port=", options=options)


def test_a_worker_that_is_killed(
    engines: Any, check: Callable[..., None], job_server: Callable[..., list[str]]
) -> None:
    options = job_server("spark", _job_server("local[2]", "-Dspark.ui.enabled=false"), kill=True)
    done = engines.corpus("spark", *options, environment=engines.environment("spark"))
    check("spark", done)
    assert done.killed
    assert len(done.pids) >= 2  # The one that was killed, and another.
