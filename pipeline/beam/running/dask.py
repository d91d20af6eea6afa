"""Dask as Beam's runner: one partition for each unit of work, on a cluster that is there or on one made here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

DASK_RUNNER = "apache_beam.runners.dask.dask_runner.DaskRunner"


@contextlib.contextmanager
def dask_arguments(beam_args: Sequence[str], *, units: int, workers: int) -> Iterator[list[str]]:
    """The options that Beam's DaskRunner needs besides those of the user, while the body runs.

    By default Beam puts 128 units into a partition, all of which one worker then does: here each is its own. Without
    the address of a scheduler, a cluster of processes is made on this machine, and taken down at the end.

    Args:
        beam_args: Beam's options as the user gave them.
        units: how many units of work there are.
        workers: processes to start, if there is no cluster.

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
            # One thread each: numpy and Python share a core badly, and memory is counted by process.
            cluster = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1))
            arguments.append(f"--dask_client_address={cluster.scheduler_address}")
        try:
            yield arguments
        finally:
            with contextlib.suppress(ValueError):  # There is none, if the runner did not come that far.
                default_client().close()  # Beam leaves it open.
