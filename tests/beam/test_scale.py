"""A million files of ten terabytes, planned without the data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

# In a process of its own, whose memory is that of the launcher of such a job.
_SCRIPT = '''
import io, json, sys, time
import apache_beam as beam
import fsspec

FILES, TOTAL = 1_000_000, 10 * 10**12

class Archive(fsspec.AbstractFileSystem):
    """A listing of files whose sizes vary; every file holds the same prose, for as long as anyone reads."""
    protocol = "archive"
    def ls(self, path, detail=True, **options):
        return []  # No file has the pattern's name.
    def find(self, path, maxdepth=None, withdirs=False, detail=False, **options):
        names = (f"crawl/part-{i // 10_000:03d}/document-{i:07d}.txt" for i in range(FILES))
        sizes = (TOTAL // FILES // 2 + (i * 7919 % FILES) * TOTAL // FILES // FILES for i in range(FILES))
        return {name: {"name": name, "size": size, "type": "file"} for name, size in zip(names, sizes)}
    def _open(self, path, **options):
        return io.BytesIO(b"It rained. Nobody came, and the river rose. It was over.\\n\\n" * 2000)

fsspec.register_implementation("archive", Archive)

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.job import plan_corpus
from pipeline.beam.running.transforms import ForEach

began = time.process_time()
job, plan = plan_corpus(CorpusConfig(input=("archive://crawl/*/*.txt",), output=sys.argv[2], vocab=sys.argv[1]))
job.begin()
job.plan.write(plan.blocks)
pipeline = beam.Pipeline(runner="FnApiRunner")
pipeline | ForEach(job.work, range(len(plan.blocks)), job.build_shards)
seconds = time.process_time() - began
middle = len(plan.blocks) // 2
print(json.dumps({
    "seconds": seconds,
    "blocks": len(plan.blocks),
    "largest": max(block.bytes for block in plan.blocks),
    "bytes": sum(segment.end - segment.start for block in plan.blocks for segment in block.segments),
    "files": len({segment.path for block in plan.blocks for segment in block.segments}),
    "pipeline": pipeline.to_runner_api().ByteSize(),
    "inputs": len(json.dumps(plan.describe())),
    "read back": job.plan.block(middle) == plan.blocks[middle],
}))
'''


@pytest.fixture(scope="module")
def planned(
    vocabulary_path: str, tmp_path_factory: pytest.TempPathFactory, measure: Callable[..., Any]
) -> dict[str, float]:
    output = str(tmp_path_factory.mktemp("scale") / "corpus")
    done = measure([sys.executable, "-c", _SCRIPT, vocabulary_path, output])
    assert done.code == 0, done.errors[-3000:]
    return {**json.loads(done.output), "peak": done.peak_bytes}


@pytest.mark.slow
def test_a_million_files_are_planned(planned: dict[str, float]) -> None:
    print(planned)
    assert planned["seconds"] < 60  # Of processor time.
    assert planned["peak"] < 1 << 30
    assert planned["files"] == 1_000_000
    assert 9.9e12 < planned["bytes"] < 10.1e12
    assert 40_000 < planned["blocks"] < 100_000  # Numbers of five digits.
    assert planned["largest"] < 220e6
    assert planned["read back"]
    assert planned["pipeline"] < 10 * 10**6  # What Dataflow takes.
    assert planned["inputs"] < 100_000
