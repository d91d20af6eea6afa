"""Dask as Beam's runner: one partition per unit of work, on an existing cluster or a local one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

DASK_RUNNER = "apache_beam.runners.dask.dask_runner.DaskRunner"


@contextlib.contextmanager
def dask_arguments(beam_args: Sequence[str], *, units: int, workers: int) -> Iterator[list[str]]:
    """Provides the options that Beam's DaskRunner needs besides the user's, while the body runs.

    By default, Beam puts 128 units into a partition, which a single worker processes; here, each unit has its own
    partition. Without a scheduler's address, a local cluster of processes is started, and shut down at the end.

    Args:
        beam_args: Beam's options as given by the user.
        units: number of units of work.
        workers: number of processes to start if there is no cluster.

    Yields:
        Options to put before the user's.
    """
    from apache_beam.runners.dask.dask_runner import DaskOptions
    from distributed import LocalCluster, default_client

    chosen = DaskOptions(list(beam_args))
    arguments = []
    if chosen.npartitions is None and chosen.partition_size is None:
        arguments.append(f"--dask_npartitions={units}")
    with contextlib.ExitStack() as stack:
        if chosen.address is None and chosen.scheduler_file is None:
            # One thread each: Python's threads hinder each other, and memory is measured per process.
            cluster = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1))
            arguments.append(f"--dask_client_address={cluster.scheduler_address}")
        try:
            yield arguments
        finally:
            with contextlib.suppress(ValueError):  # There is no client if the runner failed early.
                default_client().close()  # Beam leaves it open.
