"""Flink: a session cluster of two TaskManagers with a worker pool each, of whose processes some are killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines.clusters import Flink, needs_jars

pytestmark = [pytest.mark.slow, needs_jars("flink")]

_SLOW = {"WATCHED_SECONDS": "0.3"}  # For each document, so that there is time to kill something.
_RETRIES = ["--number_of_execution_retries=3", "--execution_retry_delay=1000"]


@pytest.fixture
def flink(engines: Any, started: Any, tmp_path: Path) -> Callable[..., Flink]:
    """Starts a cluster with a worker pool for each TaskManager, for the corpus `name`."""

    def start(name: str, *, environment: dict[str, str] | None = None, **options: Any) -> Flink:
        return Flink(tmp_path, started, environment or (engines.workers(name) | _SLOW), **options)

    return start


@pytest.fixture(scope="session")
def plain(engines: Any) -> dict[str, str]:
    """The corpus without a search for duplicates, made on this machine."""
    engines.begin(engines.corpus_words("plain", dedup="none"), "plain", engines.environment("plain")).end()
    contents: dict[str, str] = engines.contents("plain")
    assert len(contents) > 6
    return contents


def _begin(engines: Any, name: str, *options: str) -> Any:
    return engines.begin(engines.corpus_words(name, *options, dedup="none"), name, engines.environment(name))


def test_two_task_managers_and_a_worker_that_is_killed(
    engines: Any, check: Callable[..., None], flink: Callable[..., Flink]
) -> None:
    cluster = flink("flink", environment=engines.workers("flink", kill=True))
    done = engines.corpus("flink", *cluster.options(), environment=engines.environment("flink"))
    check("flink", done)
    assert done.killed
    assert "restarting it" in done.printed
    assert len(done.pids) >= 3  # One of each TaskManager; the one that was killed, and another.
    assert [job["state"] for job in cluster.jobs()].count("FAILED") == 1

    engines.vocab("flink.txt", *cluster.options(), environment=engines.environment("flink"))
    for ending in ("", ".json"):
        made = (engines.folder / f"flink.txt{ending}").read_bytes()
        assert made == (engines.folder / f"local.txt{ending}").read_bytes()


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
    plain: dict[str, str],
    flink: Callable[..., Flink],
    request: pytest.FixtureRequest,
) -> None:
    """With a restart strategy, of the cluster or the job, Flink repeats the work itself; without, the command does."""
    name = f"task-manager-{request.node.callspec.id}"
    cluster = flink(name, configuration={f"restart-strategy.{key}": value for key, value in strategy.items()})
    command = _begin(engines, name, *cluster.options(), *options)
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
