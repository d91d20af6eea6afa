"""The worker processes of Beam's local runner: a launcher notices that one ends, and none outlives its launcher."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
from typing import ClassVar

_SECONDS_BETWEEN_LOOKS = 0.2
# Why a run fails that has lost a worker.
WORKER_ENDED = "A worker process ended before its work did"


def watch_local_workers() -> None:
    """Has the local runner start its processes as `local_worker` beside this, and give up when one of them ends.

    Beam itself waits forever for a process that is killed before it has reported for work.
    """
    from apache_beam.portability import python_urns
    from apache_beam.portability.api import beam_fn_api_pb2
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from apache_beam.runners.portability.local_job_service import SubprocessSdkWorker

    class WatchingHandler(worker_handlers.SubprocessSdkWorkerHandler):
        """One process, and the connection to it."""

        _open: ClassVar[set[WatchingHandler]] = set()

        def start_worker(self) -> None:
            # In the shell's place, so that it is the launcher's own child.
            command = os.fsencode(
                f"exec {shlex.quote(sys.executable)} -m pipeline.beam.running.local_worker {os.getpid()}"
            )
            self.worker = SubprocessSdkWorker(command, self.control_address, self.provision_info, self.worker_id)
            self._closing = threading.Event()
            self.worker_thread = threading.Thread(target=self._run_and_watch)
            self.worker_thread.start()
            self._open.add(self)

        def _run_and_watch(self) -> None:
            with contextlib.suppress(RuntimeError):  # It ended with another code than 0.
                self.worker.run()
            # What is asked of it from now on is in vain, too.
            while not self._closing.wait(_SECONDS_BETWEEN_LOOKS):
                with contextlib.suppress(RuntimeError):  # Another thread asks at this very moment.
                    for future in list(self.control_conn._futures_by_id.values()):
                        # As an answer: what was aborted counts as pending to Beam's loops.
                        asked = future.instruction_id
                        future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=asked, error=WORKER_ENDED))

        def close(self) -> None:
            # Said to all at once: Beam says it to one after another, waiting for each to end, and only to those that
            # have reported for work.
            for handler in self._open:
                handler._closing.set()
                handler.control_conn.push(worker_handlers.BeamFnControlServicer._DONE_MARKER)
            self._open.clear()
            super().close()

    worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)(WatchingHandler)
