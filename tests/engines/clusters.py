"""Flink and Spark in processes of this machine, from the jars that `make test-engines` downloads."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
_ENGINES = HERE.parents[1] / "out" / "engines"
# Little memory, and little of the time that it takes to start on a busy machine.
_SMALL = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# Starts a process: the command, and options of subprocess.Popen.
Start = Callable[..., "subprocess.Popen[bytes]"]


def jars(engine: str) -> Path:
    """The folder of an engine's jars."""
    return _ENGINES / engine / "jars"


def needs_jars(engine: str) -> pytest.MarkDecorator:
    """Skips tests where an engine's jars have not been downloaded."""
    return pytest.mark.skipif(
        not (jars(engine) / ".complete").exists(), reason="make test-engines downloads the jars, with Maven and Java"
    )


def java(engine: str, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
    """The command of a Java program."""
    return [
        "java",
        *_SMALL,
        f"@{HERE / 'java' / 'java17.args'}",
        *options,
        "-cp",
        f"{jars(engine)}/*",
        main,
        *arguments,
    ]


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, host: str = "127.0.0.1") -> None:
    """Waits until a server listens."""
    wait_until(lambda: _listens(host, port), f"{host}:{port} listens")


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def wait_until(true: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Waits until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} seconds: {what}"
        time.sleep(0.1)


class Flink:
    """A session cluster: a JobManager, TaskManagers with a worker pool each, and a job server.

    Every TaskManager finds its own pool under the same name and port, at one of the addresses 127.0.0.1, 127.0.0.2 and
    so on: its JVM reads a file of hosts of its own.

    Attributes:
        master: the address of the JobManager, as `--flink_master` takes it.

    Args:
        folder: for configurations and logs.
        start: starts a process, which ends with the test.
        workers: the environment of the workers.
        task_managers: how many there are.
        slots: of each.
        configuration: additions to Flink's.
    """

    def __init__(
        self,
        folder: Path,
        start: Start,
        workers: Mapping[str, str],
        *,
        task_managers: int = 2,
        slots: int = 1,
        configuration: Mapping[str, object] | None = None,
    ) -> None:
        self._folder, self._start, self._workers = folder, start, dict(workers)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._rest, self._job_port, self._pool_port = free_port(), free_port(), free_port()
        lines = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": free_port(),
            "rest.address": "127.0.0.1",
            "rest.port": self._rest,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": slots,
            "taskmanager.load-balance.mode": "SLOTS",
            "io.tmp.dirs": folder,
            "heartbeat.interval": 1000,  # Milliseconds: notices after two that a process is gone.
            **(configuration or {}),
        }
        (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
        (folder / "nothing").touch()
        self.master = f"127.0.0.1:{self._rest}"
        self.start_job_manager()
        self.start_job_server()
        for number in range(1, task_managers + 1):
            self.start_task_manager(number)
        wait_for(self._job_port)
        self.wait_for_task_managers(task_managers)

    def start_job_manager(self) -> None:
        """Starts the JobManager."""
        main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        self._run("job manager", java("flink", main, "--configDir", str(self._folder)))

    def start_task_manager(self, number: int) -> None:
        """Starts a TaskManager and its worker pool."""
        hosts = self._folder / f"hosts{number}"
        hosts.write_text(f"127.0.0.1 localhost {socket.gethostname()}\n127.0.0.{number} sdk-workers\n")
        pool = [sys.executable, str(HERE / "worker_pool.py"), f"127.0.0.{number}:{self._pool_port}"]
        self._run(f"pool {number}", pool)
        # What Flink's own script computes.
        memory = {
            **{"task.heap": 256, "task.off-heap": 0, "framework.heap": 64, "framework.off-heap": 64, "managed": 64},
            "jvm-metaspace": 256,
        }
        sizes = {f"taskmanager.memory.{kind}.size": f"{megabytes}m" for kind, megabytes in memory.items()}
        limits = {"network.min": 32, "network.max": 32, "jvm-overhead.min": 64, "jvm-overhead.max": 64}
        sizes |= {f"taskmanager.memory.{kind}": f"{megabytes}m" for kind, megabytes in limits.items()}
        sizes |= {"taskmanager.cpu.cores": "1", "taskmanager.resource-id": str(number)}
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        words = [word for key, value in sizes.items() for word in ("-D", f"{key}={value}")]
        options = [f"-Djdk.net.hosts.file={hosts}"]
        self._run(
            f"task manager {number}", java("flink", main, "--configDir", str(self._folder), *words, options=options)
        )
        wait_for(self._pool_port, f"127.0.0.{number}")

    def start_job_server(self) -> None:
        """Starts Beam's job server."""
        main = "org.apache.beam.runners.flink.FlinkJobServerDriver"
        ports = [f"--job-port={self._job_port}", "--artifact-port=0", "--expansion-port=0"]
        where = [f"--flink-master={self.master}", f"--artifacts-dir={self._folder}/artifacts"]
        self._run("job server", java("flink", main, "--job-host=localhost", *ports, *where))

    def kill(self, name: str) -> None:
        """Kills one of the processes: "job manager", "job server" or "task manager 1"."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_for_task_managers(self, number: int) -> None:
        """Waits until the JobManager knows as many TaskManagers."""

        def registered() -> bool:
            try:
                return len(self.ask("taskmanagers")["taskmanagers"]) >= number
            except OSError:  # It does not listen yet, or says that it is not ready.
                return False

        wait_until(registered, f"{number} TaskManagers have registered")

    def options(self, *, upload: bool = False, parallelism: int = 2) -> list[str]:
        """The options that lead to the cluster.

        Args:
            upload: whether the job server is to send its jars with each job, as it does by default. That takes a while,
                and this cluster has them.
            parallelism: of the job.
        """
        address = [f"--job_endpoint=localhost:{self._job_port}", f"--environment_config=sdk-workers:{self._pool_port}"]
        staged = [] if upload else [f"--files_to_stage={self._folder / 'nothing'}"]
        return [
            "--runner=PortableRunner",
            "--environment_type=EXTERNAL",
            *address,
            f"--parallelism={parallelism}",
            *staged,
        ]

    def ask(self, path: str) -> Any:
        """Asks the JobManager."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.master}/{path}", timeout=30) as answer:
            return json.load(answer)

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that the JobManager knows, the first one first."""
        return sorted(self.ask("jobs/overview")["jobs"], key=lambda job: int(job["start-time"]))

    def _run(self, name: str, command: list[str]) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        self._processes[name] = self._start(command, env=self._workers, cwd=self._folder, stdout=log, stderr=log)
