"""A corpus job: the data that its workers need, and that determine the bytes that they write."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from pipeline import files
from pipeline.beam.corpus.block import build_block, shard_name
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.parts import SPLITS
from pipeline.beam.corpus.recipe import Recipe, make_recipe
from pipeline.beam.running.plan_file import PlanFile
from pipeline.beam.running.work import WorkFolder
from pipeline.text.inputs import InputPlan, plan_inputs
from pipeline.text.reading.plan import Block

WORK_FOLDER = ".blocks"  # Sidecars of finished blocks, until their contents are in the manifest.


@dataclasses.dataclass(frozen=True)
class CorpusJob(Recipe):
    """The data that the workers of a corpus job need; can be pickled.

    Attributes:
        blocks: number of blocks in the plan.
        key: SHA-256 over everything that determines the bytes of the shards.
        modified: SHA-256 over the modification times of the inputs.
    """

    blocks: int
    key: str
    modified: str

    @property
    def work(self) -> WorkFolder:
        """The work folder in which blocks leave their results."""
        return WorkFolder(files.join(self.config.output, WORK_FOLDER), key=self.key, run_id=self._run)

    @property
    def plan(self) -> PlanFile:
        """The plan file, from which workers read their blocks."""
        return PlanFile(self.work.path, self._run)

    @property
    def _run(self) -> str:
        """Identifies this job among others in the same directory, including the same job with modified inputs."""
        return hashlib.sha256(f"{self.key} {self.modified}".encode()).hexdigest()

    def begin(self) -> None:
        """Records in the work folder, until there is a manifest, which corpus the output directory holds."""
        self.work.begin({"key": self.key, "run": self._run, "shards": self.shard_names()})

    def shard_names(self) -> list[str]:
        """Returns the names of all shards that the job may make."""
        return [
            shard_name(split, block, self.blocks, self.config, bin_index)
            for split in SPLITS
            for block in range(self.blocks)
            for bin_index in range(len(self.config.specs()))
        ]

    def inputs_of(self, block: Block) -> list[str]:
        """Returns what a block's result depends on besides the key: the modification times of its inputs."""
        if self.config.dedup != "none":  # Any input may hold the first of two duplicates.
            return [self.modified]
        return [segment.modified for segment in block.segments]

    def duplicates(self, index: int) -> dict[int, str]:
        """Returns the documents of a block to drop as duplicates: maps their numbers within the block to reasons."""
        if self.config.dedup == "none":
            return {}
        from pipeline.beam.corpus.deduplicate import Deduplication

        return Deduplication(self.config, self.plan).of_block(index)

    def build_shards(self, index: int) -> dict[str, Any]:
        """Makes the shards of a block; returns its result, for its sidecar."""
        from apache_beam.metrics import Metrics

        block = self.plan.block(index)
        result = build_block(
            block,
            blocks=self.blocks,
            config=self.config,
            tokenizer=self.tokenizer(),
            duplicates=self.duplicates(index),
            before_naming=self.work.check_run,
        )
        for shard in result.shards:
            Metrics.counter("corpus", f"{shard.split}_examples").inc(shard.examples)
        written = [files.info(files.join(self.config.output, shard.name)).modified for shard in result.shards]
        return result.to_json() | {"inputs": self.inputs_of(block), "written": written}


def plan_corpus(config: CorpusConfig) -> tuple[CorpusJob, InputPlan]:
    """Lists the inputs, reads the vocabulary, and resolves options that were left open.

    Returns:
        The job and its plan.

    Raises:
        InputError: if an input matches no file, or all files are empty.
        VocabularyError: if the vocabulary is missing or malformed.
    """
    recipe = make_recipe(config)
    plan = plan_inputs(config)
    recipe = dataclasses.replace(recipe, config=dataclasses.replace(recipe.config, block_bytes=plan.block_bytes))
    key = hashlib.sha256(json.dumps(recipe.identity()).encode())
    modified = hashlib.sha256()
    for file in plan.files:  # One by one: there may be millions.
        key.update(json.dumps(file[:-1]).encode())
        modified.update(f"{file.modified}\n".encode())
    job = CorpusJob(
        **{field.name: getattr(recipe, field.name) for field in dataclasses.fields(Recipe)},
        blocks=len(plan.blocks),
        key=key.hexdigest(),
        modified=modified.hexdigest(),
    )
    return job, plan
