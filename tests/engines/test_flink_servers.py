"""Flink: its JobManager or Beam's job server is killed and started again; two jobs at once; several workers."""

from __future__ import annotations

import signal
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
    """Its job is lost with it; the command starts another for what is left, if the workers did not finish it all."""
    cluster = flink("job-manager")
    command = begin("job-manager", *cluster.options())
    command.wait_for_a_block()
    cluster.kill("job manager")
    cluster.start_job_manager()
    done = command.end()
    assert engines.contents("job-manager") == plain
    assert "The runner failed" in done.printed
    restarted = "restarting it" in done.printed
    assert [job["state"] for job in cluster.jobs()] == ["FINISHED"] * restarted  # This JobManager knows of no others.


@pytest.mark.parametrize("slots", [1, 2])
def test_two_jobs_at_once(
    slots: int, engines: Any, plain: Mapping[str, str], flink: Callable[..., Flink], begin: Callable[..., Any]
) -> None:
    """Each has a TaskManager, or half of both: then it shares the worker pools."""
    names = [f"{order}-{slots}" for order in ("first", "second")]
    cluster = flink(names[0], slots=slots)
    # By default, the jars are sent with each job.
    commands = [begin(name, *cluster.options(upload=slots == 1, parallelism=slots)) for name in names]
    for command in commands:
        command.end()
    for name in names:
        assert engines.contents(name) == plain
    jobs = cluster.jobs()
    assert jobs[1]["start-time"] < jobs[0]["end-time"], "they ran one after the other"


def test_two_workers_of_a_task_manager(
    engines: Any, plain: Mapping[str, str], flink: Callable[..., Flink], begin: Callable[..., Any]
) -> None:
    """The slots of a TaskManager share one worker, a process, unless there are to be more of them."""
    cluster = flink("workers", task_managers=1, slots=2)
    done = begin("workers", *cluster.options(), "--sdk_worker_parallelism=2").end()
    assert engines.contents("workers") == plain
    assert len(done.pids) == 2


def test_a_command_that_is_interrupted(
    engines: Any, plain: Mapping[str, str], flink: Callable[..., Flink], begin: Callable[..., Any]
) -> None:
    """Beam's job server only stops watching the job, which runs on; it makes way for the next command's."""
    cluster = flink("interrupted")
    command = begin("interrupted", *cluster.options())
    command.wait_for_a_block()
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(60) != 0
    assert "the same command continues from here" in command.log.read_text()
    begin("interrupted", *cluster.options()).end()
    assert engines.contents("interrupted") == plain
    assert [job["state"] for job in cluster.jobs()] == ["FINISHED"] * 2
