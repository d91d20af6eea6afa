"""A job server of Beam's that gives a job two SDK workers: `python job_server.py --port=8099`.

Beam's own command for it, local_job_service_main, always uses one.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

_WORKERS = 2


class _Job(local_job_service.BeamJob):  # type: ignore[misc]
    def _invoke_runner(self) -> Any:
        self.set_state(beam_job_api_pb2.JobState.RUNNING)
        runner = FnApiRunner(provision_info=self._provision_info)
        runner._num_workers = _WORKERS
        return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())


if __name__ == "__main__":
    server = local_job_service.LocalJobServicer(beam_job_type=_Job)
    server.start_grpc_server(int(sys.argv[1].removeprefix("--port=")))
    threading.Event().wait()
