from __future__ import annotations

import socket
from collections.abc import Iterator

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.utils import thread_pool_executor

from pipeline.beam.running import job_server
from pipeline.beam.running.runner import check_beam_args
from pipeline.errors import ConfigError


class _Server(beam_job_api_pb2_grpc.JobServiceServicer):
    """A job server with three of Flink's options, and one that Beam's Python has too."""

    def DescribePipelineOptions(
        self, request: object, context: object
    ) -> beam_job_api_pb2.DescribePipelineOptionsResponse:
        types = beam_job_api_pb2.PipelineOptionType
        option = beam_job_api_pb2.PipelineOptionDescriptor
        return beam_job_api_pb2.DescribePipelineOptionsResponse(
            options=[
                option(name="number_of_execution_retries", type=types.INTEGER, default_value="-1"),
                option(name="object_reuse", type=types.BOOLEAN, default_value="false"),
                option(name="files_to_stage", type=types.ARRAY),
                option(name="parallelism", type=types.STRING),
            ]
        )


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = grpc.server(thread_pool_executor.shared_unbounded_instance())
    port = server.add_insecure_port("localhost:0")
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(_Server(), server)
    server.start()
    yield f"localhost:{port}"
    server.stop(0)


def test_a_job_servers_own_options_are_known(endpoint: str) -> None:
    options = ["--number_of_execution_retries=3", "--object_reuse", "--files_to_stage=a", "--files_to_stage", "b"]
    check_beam_args([f"--job_endpoint={endpoint}", "--runner=PortableRunner", *options])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--number_of_execution_retrys=3",
            r"Received: --number_of_.*retrys\. Did you mean --number_of_execution_retries\?",
        ),
        ("--zzz", r"Received: --zzz\. See --help, and the documentation of the runner"),
    ],
)
def test_what_the_job_server_does_not_know_either_is_refused(endpoint: str, option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_beam_args(["--runner=PortableRunner", f"--job_endpoint={endpoint}", option])


def test_a_value_of_the_wrong_type_is_refused(endpoint: str) -> None:
    known = ["--runner=PortableRunner", f"--job_endpoint={endpoint}"]
    with pytest.raises(ConfigError, match="--number_of_execution_retries: invalid int value: 'often'"):
        check_beam_args([*known, "--number_of_execution_retries=often"])
    # Beam's Python says what its own options take, whatever the job server does.
    with pytest.raises(ConfigError, match="--parallelism: invalid int value: 'many'"):
        check_beam_args([*known, "--object_reuse", "--parallelism=many"])


def test_a_job_server_is_asked_only_if_it_must_be() -> None:
    check_beam_args(["--runner=PortableRunner", "--job_endpoint=localhost:1", "--parallelism=2"])
    with pytest.raises(ConfigError, match="needs --job_endpoint"):
        check_beam_args(["--runner=FlinkRunner", "--number_of_execution_retries=3"])
    with pytest.raises(ConfigError, match=r"See --help\.$"):
        check_beam_args(["--runner=DataflowRunner", "--number_of_execution_retries=3"])


def test_a_job_server_that_does_not_respond_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_server, "_SECONDS_TO_ANSWER", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            ConfigError, match=f"--object_reuse, with --job_endpoint={endpoint}, which does not respond"
        ):
            check_beam_args(["--runner=PortableRunner", f"--job_endpoint={endpoint}", "--object_reuse"])
