"""Dataflow, as far as it goes without an account: the job as it would be handed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.job import CorpusJob
from pipeline.beam.running.runner import check_beam_args
from pipeline.beam.running.transforms import ForEach
from pipeline.tokenizers import make_tokenizer

pytest.importorskip("google.cloud.dataflow", reason="make test-engines has it")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
BLOCKS = 50_000


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The options that docs/runners.md gives, and those that keep the job here."""
    package = tmp_path / "mlm_pipeline-0.1.0.tar.gz"
    package.write_bytes(b"the package")
    return [
        "--runner=DataflowRunner",
        "--project=a-project",
        "--region=europe-west1",
        "--temp_location=gs://bucket/temp",
        "--staging_location=gs://bucket/staging",
        "--machine_type=n2-highmem-2",
        "--max_num_workers=100",
        "--number_of_worker_harness_threads=1",
        "--disk_size_gb=50",
        "--sdk_container_image=europe-west1-docker.pkg.dev/a-project/mlm/worker:0.1.0",
        f"--extra_package={package}",
    ]


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What would be uploaded, by name."""
    from apache_beam.runners.dataflow.internal import apiclient

    files: dict[str, bytes] = {}

    def keep(self: Any, location: str, name: str, stream: Any, *_: Any, **__: Any) -> None:
        files[name] = stream.read() if hasattr(stream, "read") else Path(stream).read_bytes()

    monkeypatch.setattr(apiclient.DataflowApplicationClient, "stage_file_with_retry", keep)
    return files


def test_the_job_is_whole(
    arguments: list[str],
    staged: dict[str, bytes],
    vocabulary: bytes,
    pickled: Callable[[Any, str], bytes],
    tmp_path: Path,
) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.portability.api import beam_runner_api_pb2 as api
    from apache_beam.runners.dataflow.internal import apiclient

    check_beam_args(arguments)
    config = CorpusConfig(input=("gs://bucket/in/*.txt",), output="gs://bucket/corpus", vocab="vocab.txt")
    tokenizer = make_tokenizer(vocabulary)
    job = CorpusJob(
        config=config,
        vocabulary=vocabulary,
        casing=tokenizer.casing,
        special_ids=tuple(tokenizer.special_ids.items()),
        blocks=BLOCKS,
        key="key",
        modified="modified",
    )
    pipeline = beam.Pipeline(options=PipelineOptions([*arguments, "--dry_run=True", "--no_auth"]))
    pipeline | "Corpus" >> ForEach(job.work, range(BLOCKS), job.build_shards)
    result = pipeline.run()
    client = apiclient.DataflowApplicationClient(result.job.options, result.job.root_staging_location)
    client.create_job_description(result.job)
    described = json.loads(result.job.json())

    environment = described["environment"]
    (pool,) = [pool for pool in environment["workerPools"] if pool.get("kind", "harness") == "harness"]
    assert pool["machineType"] == "n2-highmem-2"
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 100
    assert "worker:0.1.0" in json.dumps(pool)
    assert any(name.endswith("mlm_pipeline-0.1.0.tar.gz") for name in staged)
    (proto,) = [api.Pipeline.FromString(data) for name, data in staged.items() if name.endswith("pipeline.pb")]
    size = sum(len(data) for name, data in staged.items() if name.endswith("pipeline.pb"))
    assert size < 10 * 10**6  # What Dataflow takes, for as many blocks as there are by default at most.
    names = {transform.unique_name for transform in proto.components.transforms.values()}
    assert {"Corpus", "Corpus/Plan", "Corpus/Step"} <= names
    carried = pickled(proto, "Corpus/Step")
    assert b"gs://bucket/corpus" in carried
    # Nothing of this machine is captured; where Beam lies, its pickles tell.
    for path in (ROOT / "pipeline", ROOT / "tests", tmp_path, Path.home()):
        assert f"{path}/".encode() not in carried
