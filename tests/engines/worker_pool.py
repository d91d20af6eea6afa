"""A pool of SDK workers at one address: `python worker_pool.py 127.0.0.2:50000`.

Beam's own command for it, worker_pool_main, listens at all addresses of a machine. Two pools that TaskManagers of one
machine reach at the same port need an address each.
"""

from __future__ import annotations

import sys
import threading

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils import thread_pool_executor

if __name__ == "__main__":
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=[("grpc.so_reuseport", 0)])
    pool = BeamFnExternalWorkerPoolServicer(use_process=True)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    assert server.add_insecure_port(sys.argv[1]), f"{sys.argv[1]} is taken"
    server.start()
    threading.Event().wait()
