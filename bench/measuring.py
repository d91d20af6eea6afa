"""Measures a command: time, CPU time and memory of all its processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_SECONDS_BETWEEN_LOOKS = 1.0
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Resources that a command used.

    Attributes:
        seconds: wall time.
        cpu_seconds: CPU time of all its processes.
        peak_bytes: peak memory of all its processes together, with shared memory counted once (the sum of their
            proportional set sizes), sampled once per second.
        output: its standard output.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def measure(command: Sequence[str], *, cwd: Path | None = None) -> Usage:
    """Runs a command and measures it and all its descendants; Linux only.

    Raises:
        SystemExit: with the end of its standard error, if it fails.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=cwd)
        watcher = _Watcher(process.pid)
        watcher.start()
        _, status, rusage = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        watcher.stop()
        output.seek(0)
        errors.seek(0)
        if code:
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read()[-3000:]}")
        # The kernel's figure lacks children that nobody waited for; the watcher's lacks the time since its last sample.
        cpu_seconds = max(watcher.cpu_seconds, rusage.ru_utime + rusage.ru_stime)
        return Usage(seconds, cpu_seconds, watcher.peak_bytes, output.read())


class _Watcher(threading.Thread):
    """Samples the processes of a tree until it is stopped."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._done = threading.Event()
        self._seconds: dict[int, float] = {}
        self.peak_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        return sum(self._seconds.values())

    def stop(self) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        while not self._done.wait(_SECONDS_BETWEEN_LOOKS):
            tree = list(_tree(self._root))
            for pid in tree:
                self._seconds[pid] = max(self._seconds.get(pid, 0.0), _cpu_seconds(pid))
            self.peak_bytes = max(self.peak_bytes, sum(map(_proportional_bytes, tree)))


def _tree(root: int) -> Iterable[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    for pid in parents:
        ancestor = pid
        while ancestor not in (root, 0):
            ancestor = parents.get(ancestor, 0)
        if ancestor == root:
            yield pid


def _stat(pid: int) -> list[str]:
    """Reads the fields of /proc/PID/stat after the name of the process; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND if fields else 0.0


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
