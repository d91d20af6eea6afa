"""Warns of task managers that share a worker pool, in which each stops the others' workers."""

from __future__ import annotations

import collections
import json
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_SECONDS_TO_ANSWER = 5


def shared_pool_warning(options: Mapping[str, Any]) -> str | None:
    """Returns a warning if several task managers would use one worker pool, as far as can be seen from here.

    A task manager of Flink's, or an executor of Spark's, has the pool start and stop its workers by their numbers, and
    each begins with the number 1-1. In a pool that several of them use, one stops the workers of another.

    Args:
        options: Beam's options by name. `flink_master`, if it is an address, is asked for its task managers.
    """
    if options.get("environment_type") != "EXTERNAL" or not options.get("environment_config"):
        return None
    pool = str(options["environment_config"])
    hosts = _hosts_of_task_managers(str(options.get("flink_master") or ""))
    if hosts is not None and len(hosts) < 2:
        return None
    if urlsplit(f"//{pool}").hostname in ("localhost", "127.0.0.1", "::1"):
        # Each machine has its own.
        crowded = [host for host, number in collections.Counter(hosts or []).items() if number > 1]
        if not crowded:
            return None
        who = f"Several task managers on {crowded[0]} use"
    else:
        who = f"The {len(hosts)} task managers use" if hosts else "All task managers or executors use"
    return (
        f"{who} the worker pool at {pool}: if several share a pool, they stop each other's workers. Start a pool for"
        " each, which it reaches at the same address, such as localhost:50000 on its own machine"
    )


def _hosts_of_task_managers(master: str) -> list[str] | None:
    """Asks Flink for the hosts of its task managers, one for each; returns None if it does not say."""
    if not master or master.startswith("["):  # [local], [auto]
        return None
    url = master if "://" in master else f"http://{master}"
    try:
        with urllib.request.urlopen(f"{url}/taskmanagers", timeout=_SECONDS_TO_ANSWER) as answer:
            found = json.load(answer)["taskmanagers"]
        # "pekko.tcp://flink@10.0.0.7:41297/user/rpc/taskmanager_0"
        return [urlsplit(str(each["path"])).hostname or "" for each in found]
    except (OSError, ValueError, KeyError, TypeError):
        return None
