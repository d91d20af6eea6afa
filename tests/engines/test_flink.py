"""Flink: a session cluster of two TaskManagers with a worker pool each, of whose processes some are killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from engines.clusters import Flink, needs_jars

from pipeline.beam.running.worker_pools import shared_pool_warning

pytestmark = [pytest.mark.slow, needs_jars("flink")]


def test_two_task_managers_and_a_worker_that_is_killed(
    engines: Any, check: Callable[..., None], flink: Callable[..., Flink]
) -> None:
    cluster = flink("flink", kill=True)
    shared = {"environment_type": "EXTERNAL", "environment_config": "localhost:50000", "flink_master": cluster.master}
    assert str(shared_pool_warning(shared)).startswith("Several task managers on 127.0.0.1 use")
    done = engines.corpus("flink", *cluster.options(), environment=engines.environment("flink"))
    check("flink", done)
    assert done.killed
    assert "restarting it" in done.printed
    assert len(done.pids) >= 3  # One of each TaskManager; the one that was killed, and another.
    assert [job["state"] for job in cluster.jobs()].count("FAILED") == 1


@pytest.mark.parametrize("flink_restarts", [True, False], ids=["restart strategy", "no restart strategy"])
def test_a_task_manager_that_is_killed(
    flink_restarts: bool,
    engines: Any,
    plain: Mapping[str, str],
    flink: Callable[..., Flink],
    begin: Callable[..., Any],
) -> None:
    """With a restart strategy, Flink repeats the work itself; without, the command does, in another job."""
    name = f"task-manager-{flink_restarts}"
    strategy = {"type": "fixed-delay", "fixed-delay.attempts": 3, "fixed-delay.delay": "1 s"} if flink_restarts else {}
    cluster = flink(name, configuration={f"restart-strategy.{key}": value for key, value in strategy.items()})
    # Options that the job server alone defines.
    command = begin(name, *cluster.options(), "--object_reuse", "--number_of_execution_retries=2")
    command.wait_for_a_block()
    cluster.kill("task manager 1")
    cluster.start_task_manager(3)
    done = command.end()
    assert engines.contents(name) == plain
    assert ("restarting it" in done.printed) is not flink_restarts
    jobs = cluster.jobs()
    assert [job["state"] for job in jobs] == (["FINISHED"] if flink_restarts else ["FAILED", "FINISHED"])
    assert cluster.ask(f"jobs/{jobs[0]['jid']}/exceptions")["exceptionHistory"]["entries"]
    for job in jobs:
        settings = cluster.ask(f"jobs/{job['jid']}/config")["execution-config"]
        assert settings["object-reuse-mode"] is True
        assert settings["user-config"]["numberOfExecutionRetries"] == "2"
