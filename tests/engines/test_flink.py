"""Flink: a session cluster of two TaskManagers with a worker pool each, of whose processes some are killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from engines.clusters import Flink, needs_jars

pytestmark = [pytest.mark.slow, needs_jars("flink")]

_RETRIES = ["--number_of_execution_retries=3", "--execution_retry_delay=1000"]


def test_two_task_managers_and_a_worker_that_is_killed(
    engines: Any, check: Callable[..., None], flink: Callable[..., Flink]
) -> None:
    cluster = flink("flink", kill=True)
    done = engines.corpus("flink", *cluster.options(), environment=engines.environment("flink"))
    check("flink", done)
    assert done.killed
    assert "restarting it" in done.printed
    assert len(done.pids) >= 3  # One of each TaskManager; the one that was killed, and another.
    assert [job["state"] for job in cluster.jobs()].count("FAILED") == 1


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ({"type": "fixed-delay", "fixed-delay.attempts": 3, "fixed-delay.delay": "1 s"}, []),
        ({}, _RETRIES),
        ({}, []),
    ],
    ids=["cluster", "job", "none"],
)
def test_a_task_manager_that_is_killed(
    strategy: dict[str, object],
    options: list[str],
    engines: Any,
    plain: Mapping[str, str],
    flink: Callable[..., Flink],
    begin: Callable[..., Any],
    request: pytest.FixtureRequest,
) -> None:
    """With a restart strategy, of the cluster or the job, Flink repeats the work itself; without, the command does."""
    name = f"task-manager-{request.node.callspec.id}"
    cluster = flink(name, configuration={f"restart-strategy.{key}": value for key, value in strategy.items()})
    command = begin(name, *cluster.options(), *options)
    command.wait_for_a_block()
    cluster.kill("task manager 1")
    cluster.start_task_manager(3)
    done = command.end()
    assert engines.contents(name) == plain
    flink_repeats = bool(strategy or options)
    assert ("restarting it" in done.printed) is not flink_repeats
    states = [job["state"] for job in cluster.jobs()]
    assert states == (["FINISHED"] if flink_repeats else ["FAILED", "FINISHED"])
    assert cluster.ask(f"jobs/{cluster.jobs()[0]['jid']}/exceptions")["exceptionHistory"]["entries"]
