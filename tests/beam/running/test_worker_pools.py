from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from pipeline.beam.running.runner import check_beam_args
from pipeline.beam.running.worker_pools import shared_pool_warning


@pytest.fixture
def flink_master(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Answers as a JobManager does whose TaskManagers run on these hosts."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def start(*hosts: str) -> str:
        task_managers = [
            {"id": str(n), "path": f"pekko.tcp://flink@{host}:4{n}/user/rpc/t"} for n, host in enumerate(hosts)
        ]

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/taskmanagers" else 404)
                self.end_headers()
                self.wfile.write(json.dumps({"taskmanagers": task_managers}).encode())

            def log_message(self, *_: object) -> None:
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _warning(pool: str, master: str = "[auto]") -> str | None:
    return shared_pool_warning({"environment_type": "EXTERNAL", "environment_config": pool, "flink_master": master})


def test_a_pool_on_every_machine_is_fine() -> None:
    assert _warning("localhost:50000") is None
    assert _warning("127.0.0.1:50000") is None
    assert shared_pool_warning({"environment_type": "DOCKER", "environment_config": "image:latest"}) is None
    assert shared_pool_warning({}) is None


def test_one_pool_for_all_machines_is_warned_of() -> None:
    told = _warning("pool.example:50000")
    assert told is not None
    assert told.startswith("All task managers or executors use the worker pool at pool.example:50000: if several share")


def test_flink_says_how_many_task_managers_there_are(flink_master: Callable[..., str]) -> None:
    one, two, crowded = (
        flink_master("10.0.0.1"),
        flink_master("10.0.0.1", "10.0.0.2"),
        flink_master("10.0.0.7", "10.0.0.7"),
    )
    assert _warning("pool.example:50000", one) is None
    assert str(_warning("pool.example:50000", f"http://{two}")).startswith("The 2 task managers use")
    assert _warning("localhost:50000", two) is None
    assert str(_warning("localhost:50000", crowded)).startswith("Several task managers on 10.0.0.7 use")


def test_a_master_that_does_not_answer_is_no_reason_to_stop() -> None:
    assert _warning("localhost:50000", "127.0.0.1:1") is None
    assert str(_warning("pool.example:50000", "127.0.0.1:1")).startswith("All task managers or executors use")


def test_the_command_warns(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--environment_type=EXTERNAL", "--environment_config=pool.example:50000"]
    check_beam_args(["--runner=PortableRunner", "--job_endpoint=localhost:1", *options])
    assert capsys.readouterr().err.startswith("Warning: All task managers or executors use")
    check_beam_args(["--runner=DaskRunner", *options])
    assert capsys.readouterr().err == ""
