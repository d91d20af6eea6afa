"""A job server of Beam's that gives a job two SDK workers: `python job_server.py --port=8099`.

Beam's own command for it, local_job_service_main, always uses one, and waits for minutes for a worker that was killed.
This one fails the job at once when the connection to a worker breaks off, as Flink's and Spark's do.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2, beam_job_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.worker_handlers import ControlConnection

_WORKERS = 2


class _Job(local_job_service.BeamJob):  # type: ignore[misc]
    def _invoke_runner(self) -> Any:
        self.set_state(beam_job_api_pb2.JobState.RUNNING)
        runner = FnApiRunner(provision_info=self._provision_info)
        runner._num_workers = _WORKERS
        return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())


def _fail_when_it_breaks_off(read: Callable[[ControlConnection], None]) -> Callable[[ControlConnection], None]:
    """Has what a worker was asked for, and never answered, answered by an error."""

    def read_to_the_end(connection: ControlConnection) -> None:
        try:
            read(connection)
        finally:
            for future in list(connection._futures_by_id.values()):
                gone = "The connection to a worker broke off"
                future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=future.instruction_id, error=gone))

    return read_to_the_end


if __name__ == "__main__":
    ControlConnection._read = _fail_when_it_breaks_off(ControlConnection._read)
    server = local_job_service.LocalJobServicer(beam_job_type=_Job)
    server.start_grpc_server(int(sys.argv[1].removeprefix("--port=")))
    threading.Event().wait()
