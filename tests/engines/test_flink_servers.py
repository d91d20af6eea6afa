"""Flink: its JobManager or Beam's job server is killed and started again; two jobs at once; several workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from engines.clusters import Flink, needs_jars

pytestmark = [pytest.mark.slow, needs_jars("flink")]


def test_a_job_server_that_is_killed(
    engines: Any, plain: Mapping[str, str], flink: Callable[..., Flink], begin: Callable[..., Any]
) -> None:
    """The job outlives it; the command waits for the next job server, and starts another job for what is left."""
    cluster = flink("job-server")
    command = begin("job-server", *cluster.options())
    command.wait_for_a_block()
    cluster.kill("job server")
    cluster.start_job_server()
    done = command.end()
    assert engines.contents("job-server") == plain
    assert "restarting it" in done.printed


def test_a_job_manager_that_is_killed(
    engines: Any, plain: Mapping[str, str], flink: Callable[..., Flink], begin: Callable[..., Any]
) -> None:
    """Its job is lost with it; the command starts another for what is left."""
    cluster = flink("job-manager")
    command = begin("job-manager", *cluster.options())
    command.wait_for_a_block()
    cluster.kill("job manager")
    cluster.start_job_manager()
    done = command.end()
    assert engines.contents("job-manager") == plain
    assert "restarting it" in done.printed
    assert [job["state"] for job in cluster.jobs()] == ["FINISHED"]  # This JobManager has seen one.


def test_two_jobs_at_once(
    engines: Any, plain: Mapping[str, str], flink: Callable[..., Flink], begin: Callable[..., Any]
) -> None:
    """Each has a TaskManager, which also has to be sent the jars."""
    cluster = flink("first")
    options = cluster.options(upload=True, parallelism=1)
    commands = [begin(name, *options) for name in ("first", "second")]
    for command in commands:
        command.end()
    for name in ("first", "second"):
        assert engines.contents(name) == plain
    jobs = cluster.jobs()
    assert [job["state"] for job in jobs] == ["FINISHED"] * 2
    assert jobs[1]["start-time"] < jobs[0]["end-time"], "they ran one after the other"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_a_task_manager(
    workers: int, engines: Any, plain: Mapping[str, str], flink: Callable[..., Flink], begin: Callable[..., Any]
) -> None:
    """The slots of a TaskManager share one worker, a process, unless there are to be more of them."""
    name = f"workers-{workers}"
    cluster = flink(name, task_managers=1, slots=2)
    done = begin(name, *cluster.options(), f"--sdk_worker_parallelism={workers}").end()
    assert engines.contents(name) == plain
    assert len(done.pids) == workers
