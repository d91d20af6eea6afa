"""Runs programs in turns, so that other load on the machine affects all of them equally.

Each program is a separate process, in its own environment. It runs when told to, and reports its pace.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "out" / "peers" / "bin" / "python"


class Pace(NamedTuple):
    """The amount of work of a program per second, and per second of CPU time."""

    a_second: float
    a_cpu_second: float


def measure_turns(commands: Mapping[str, Sequence[str]], turns: int) -> dict[str, Pace]:
    """Starts programs that call `take_turns`, and runs them in turns; the first turn, which compiles, does not count.

    Returns:
        The median pace of each program.

    Raises:
        SystemExit: with the end of its standard error, if a program ends early.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    programs = {name: _Program(command, environment) for name, command in commands.items()}
    measured: dict[str, list[Pace]] = {name: [] for name in commands}
    for turn in range(turns + 1):
        for name, program in programs.items():
            pace = program.run()
            if turn:
                measured[name].append(pace)
    for program in programs.values():
        program.end()
    return {name: Pace(*map(statistics.median, zip(*paces, strict=True))) for name, paces in measured.items()}


def take_turns(run: Callable[[], int]) -> None:
    """Calls `run`, which returns the amount of work, for each line of input, and answers with its pace."""
    for _ in sys.stdin:
        start, cpu_start = time.perf_counter(), time.process_time()
        done = run()
        pace = Pace(done / (time.perf_counter() - start), done / (time.process_time() - cpu_start))
        print(json.dumps(pace), flush=True)


class _Program:
    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def run(self) -> Pace:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise SystemExit(f"A program ended with code {self._process.wait()}:\n{self._errors.read()[-3000:]}")
        return Pace(*json.loads(answer))

    def end(self) -> None:
        self._process.communicate()
