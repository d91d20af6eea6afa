"""What workers elsewhere get: the package from its own sdist, and transforms pickled by a launcher."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from pipeline.beam.corpus.block import BlockResult
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.job import CorpusJob, plan_corpus
from pipeline.beam.running.transforms import ForEach

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, distributions: Path) -> Path:
    """A directory into which the package was installed from an sdist, and nothing else."""
    folder = tmp_path_factory.mktemp("sdist")
    (sdist,) = distributions.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(sdist)], check=True)
    return folder / "site"


def test_its_requirements_are_all_that_it_imports(installed: Path) -> None:
    (metadata,) = importlib.metadata.distributions(path=[str(installed)])
    assert metadata.requires
    required = {re.split(r"[\[>=<; ]", line)[0].lower() for line in metadata.requires if "extra ==" not in line}
    distributions = importlib.metadata.packages_distributions()
    needed: dict[str, set[str]] = {}
    for path in (installed / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for module in {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"pipeline"}:
                needed.setdefault(module, set()).add(path.name)
    assert len(needed) > 8
    extras = {"distributed", "huggingface_hub", "torch", "transformers"}  # Of dask, hub and huggingface.
    for module in needed.keys() - extras:
        names = {name.lower() for name in distributions[module]}
        # Keras comes with TensorFlow, of which it is a part to its users.
        assert names & (required | {"keras"}), f"{module}, imported by {needed[module]}, is of no requirement"


def test_everything_can_be_imported_from_it(installed: Path, tmp_path: Path) -> None:
    script = """
import importlib, pathlib, sys
import pipeline
root = pathlib.Path(pipeline.__file__).parent
assert str(root).startswith(sys.argv[1]), root
names = sorted(".".join(("pipeline", *p.relative_to(root).with_suffix("").parts)) for p in root.rglob("*.py"))
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name.removesuffix(".__init__"))
print(len(names))
"""
    printed = _run(installed, tmp_path, script, str(installed))
    assert int(printed) == len(list((ROOT / "pipeline").rglob("*.py")))


@pytest.fixture
def job(text_files: str, vocabulary_path: str, tmp_path: Path) -> CorpusJob:
    config = CorpusConfig(
        input=(text_files,),
        output=str(tmp_path / "corpus"),
        vocab=vocabulary_path,
        max_seq_length=48,
        max_predictions_per_seq=8,
        block_bytes=6000,
    )
    job, plan = plan_corpus(config)
    job.begin()
    job.plan.write(plan.blocks)
    return job


def test_pickled_transforms_run_where_only_it_is_installed(
    installed: Path, job: CorpusJob, tmp_path: Path, pickled: Callable[[Any, str], bytes]
) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    pipeline | "Corpus" >> ForEach(job.work, range(job.blocks), job.build_shards)
    proto = pipeline.to_runner_api()
    (tmp_path / "pipeline.pb").write_bytes(proto.SerializeToString())
    carried = pickled(proto, "Corpus/Step")
    assert job.config.output.encode() in carried
    # Nothing of this checkout is captured; of its virtual environment, the names of Beam's own files are.
    assert f"{ROOT}/pipeline".encode() not in carried
    assert f"{ROOT}/tests".encode() not in carried
    script = """
import sys
import pipeline
assert pipeline.__file__.startswith(sys.argv[1])
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2 as api
proto = api.Pipeline.FromString(open("pipeline.pb", "rb").read())
steps = [t for t in proto.components.transforms.values() if t.unique_name.startswith("Corpus/Step")]
(step,) = [t for t in steps if t.spec.payload]
payload = api.ParDoPayload.FromString(step.spec.payload)
fn, arguments, options, *_ = pickler.loads(payload.do_fn.payload)
fn.setup()
print(list(fn.process(2, *arguments, **options)))
"""
    assert _run(installed, tmp_path, script, str(installed)) == "[1]"
    made = {path.name: path.read_bytes() for path in (tmp_path / "corpus").glob("*.tfrecord")}
    assert len(made) == 2
    # With the tree that is tested.
    assert BlockResult.from_json(job.work.result(2)) == BlockResult.from_json(job.build_shards(2))
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "corpus").glob("*.tfrecord")}


def _run(installed: Path, cwd: Path, script: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()
