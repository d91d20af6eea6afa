"""Runs scripts in other projects' environments."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def run_script() -> Callable[..., None]:
    """Runs a script of this directory in another environment, and with no packages but that one's."""

    def run(environment: Path, script: str, *arguments: str) -> None:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        variables |= {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [str(environment / "bin" / "python"), str(Path(__file__).with_name(script)), *arguments]
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    return run
