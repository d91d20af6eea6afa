"""Worker processes for Beam's local runner whose end the launcher notices, and that end with the launcher."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
from typing import ClassVar

_SECONDS_BETWEEN_LOOKS = 0.2
# The reason of a run that failed because it lost a worker.
WORKER_ENDED = "A worker process ended before its work was done"


def watch_local_workers() -> None:
    """Makes the local runner start its processes with `local_worker`, and fail when one of them ends early.

    Beam itself waits forever for a process that is killed before it has connected.
    """
    from apache_beam.portability import python_urns
    from apache_beam.portability.api import beam_fn_api_pb2
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from apache_beam.runners.portability.local_job_service import SubprocessSdkWorker

    class WatchingHandler(worker_handlers.SubprocessSdkWorkerHandler):
        """One process, and the connection to it."""

        _open: ClassVar[set[WatchingHandler]] = set()

        def start_worker(self) -> None:
            # Replaces the shell, so that the worker is the launcher's own child.
            command = os.fsencode(
                f"exec {shlex.quote(sys.executable)} -m pipeline.beam.running.local_worker {os.getpid()}"
            )
            self.worker = SubprocessSdkWorker(command, self.control_address, self.provision_info, self.worker_id)
            self._closing = threading.Event()
            self.worker_thread = threading.Thread(target=self._run_and_watch)
            self.worker_thread.start()
            self._open.add(self)

        def _run_and_watch(self) -> None:
            with contextlib.suppress(RuntimeError):  # It ended with a non-zero exit code.
                self.worker.run()
            # Requests from now on must fail, too.
            while not self._closing.wait(_SECONDS_BETWEEN_LOOKS):
                with contextlib.suppress(RuntimeError):  # Another thread may add a request meanwhile.
                    for future in list(self.control_conn._futures_by_id.values()):
                        # Set as a response: Beam's loops treat aborted requests as pending.
                        asked = future.instruction_id
                        future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=asked, error=WORKER_ENDED))

        def close(self) -> None:
            # Tells all workers to stop at once: Beam tells them one by one, waiting for each to end, and only those
            # that have connected.
            for handler in self._open:
                handler._closing.set()
                handler.control_conn.push(worker_handlers.BeamFnControlServicer._DONE_MARKER)
            self._open.clear()
            super().close()

    worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)(WatchingHandler)
