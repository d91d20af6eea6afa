"""Prism, Beam's runner in Go: the protocol of Flink and Spark spoken by another implementation than Python's."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PRISM = shutil.which("prism", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PRISM, reason="make test-engines has it")]


def test_prism_and_a_worker_in_another_process(
    engines: Any, check: Callable[..., None], job_server: Callable[..., list[str]]
) -> None:
    options = job_server("prism", [str(PRISM), "-serve_http=false", "-job_port="], kill=True)
    done = engines.corpus("prism", *options, environment=engines.environment("prism"))
    check("prism", done)
    assert done.killed
    assert "restarting it" in done.printed
    assert len(done.pids) >= 2  # Prism starts one worker at a time; the one that was killed, and another.
