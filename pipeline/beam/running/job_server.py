"""The job servers of Beam's portability framework, such as Flink's, and the options that only they define."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pipeline.errors import ConfigError

_SECONDS_TO_ANSWER = 20


def job_server_options(endpoint: str, *, unknown: str) -> Sequence[Any]:
    """Asks a job server for the pipeline options that it understands.

    Args:
        endpoint: its address, host:port.
        unknown: the option for which it is asked, for the error.

    Returns:
        A `PipelineOptionDescriptor` for each, such as Flink's number_of_execution_retries.

    Raises:
        ConfigError: if it does not respond.
    """
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    try:
        with grpc.insecure_channel(endpoint) as channel:
            grpc.channel_ready_future(channel).result(timeout=_SECONDS_TO_ANSWER)
            server = beam_job_api_pb2_grpc.JobServiceStub(channel)
            request = beam_job_api_pb2.DescribePipelineOptionsRequest()
            options: Sequence[Any] = server.DescribePipelineOptions(request, timeout=_SECONDS_TO_ANSWER).options
    except (grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise ConfigError(
            "Only the job server can tell whether it has an option that Beam's Python does not know",
            received=f"{unknown}, with --job_endpoint={endpoint}, which does not respond",
            do="Start the job server, or correct the option or the address",
        ) from error
    return options


def add_job_server_options(parser: argparse.ArgumentParser, options: Sequence[Any]) -> None:
    """Adds a job server's options to a parser, with the types that Beam's PortableRunner gives them.

    Args:
        parser: options that it already has are left as they are.
        options: see `job_server_options`.
    """
    from apache_beam.portability.api import beam_job_api_pb2

    types = beam_job_api_pb2.PipelineOptionType
    for option in options:
        how: dict[str, Any] = {"action": "store"}
        if option.type == types.BOOLEAN:
            how["action"] = "store_false" if option.default_value == "true" else "store_true"
        elif option.type == types.INTEGER:
            how["type"] = int
        elif option.type == types.ARRAY:
            how["action"] = "append"
        if f"--{option.name}" not in parser._option_string_actions:
            parser.add_argument(f"--{option.name}", **how)
