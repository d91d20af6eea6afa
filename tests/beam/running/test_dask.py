from __future__ import annotations

import pytest

from pipeline.beam.running.dask import dask_arguments

distributed = pytest.importorskip("distributed")


def test_a_cluster_is_made_and_taken_down() -> None:
    with dask_arguments([], units=300, workers=2) as arguments:
        spread, address = arguments
        assert spread == "--dask_npartitions=300"
        name, _, where = address.partition("=")
        assert name == "--dask_client_address"
        client = distributed.Client(where)  # As the runner makes one, which nobody else closes.
        workers = client.scheduler_info()["workers"].values()
        assert [worker["nthreads"] for worker in workers] == [1, 1]
        assert len({client.submit(lambda: __import__("os").getpid(), pure=False).result() for _ in range(20)}) <= 2
    assert client.status == "closed"
    with pytest.raises(OSError, match=r"Timed out|refused|closed"):
        distributed.Client(where, timeout=1)


@pytest.mark.parametrize("spread", ["--dask_npartitions=3", "--dask_partition_size=7"])
def test_what_the_user_says_stands(spread: str) -> None:
    there = "--dask_client_address=tcp://127.0.0.1:1"
    with dask_arguments([spread, there], units=300, workers=2) as arguments:
        assert arguments == []
    with dask_arguments(["--dask_scheduler_file=x.json"], units=300, workers=2) as arguments:
        assert arguments == ["--dask_npartitions=300"]
