"""A corpus job: the data that its workers need, and that determine the bytes that they write."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import Any

from pipeline import files
from pipeline.beam.corpus.block import build_block, shard_name
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.parts import SPLITS
from pipeline.beam.running.plan_file import PlanFile
from pipeline.beam.running.work import WorkFolder
from pipeline.config.tree import to_dict
from pipeline.text.inputs import InputPlan, plan_inputs
from pipeline.text.reading.plan import Block
from pipeline.tokenizers import Tokenizer, make_tokenizer, tokenizer_of_file
from pipeline.tokenizers.casing import Casing
from pipeline.tokenizers.vocabulary import find_vocabulary, read_vocabulary
from pipeline.version import __version__

WORK_FOLDER = ".blocks"  # Sidecars of finished blocks, until their contents are in the manifest.
# Options that do not change the output: its path, the path of the vocabulary (only its contents count), and whether the
# formats in the plan were given or detected.
_NOT_IN_KEY = ("output", "vocab", "input", "format")


@dataclasses.dataclass(frozen=True)
class CorpusJob:
    """The data that the workers of a corpus job need; can be pickled.

    Attributes:
        config: the options, all resolved.
        vocabulary: the bytes of the vocabulary file.
        blocks: number of blocks in the plan.
        casing: whether text is lower-cased, and the reason.
        key: SHA-256 over everything that determines the bytes of the shards.
        modified: SHA-256 over the modification times of the inputs.
        special_ids: ids of the special tokens, which a file beside the vocabulary may state.
    """

    config: CorpusConfig
    vocabulary: bytes
    blocks: int
    casing: Casing
    key: str
    modified: str
    special_ids: tuple[tuple[str, int], ...]

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

    def tokenizer(self) -> Tokenizer:
        """Returns the job's tokenizer, which is made once per process."""
        return _tokenizer(self.vocabulary, self.config.vocab, self.config.lower_case, self.special_ids)

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


@functools.lru_cache(maxsize=1)
def _tokenizer(
    vocabulary: bytes, name: str, lower_case: bool | None, special_ids: tuple[tuple[str, int], ...]
) -> Tokenizer:
    return make_tokenizer(vocabulary, name=name, lower_case=lower_case, special=dict(special_ids))


def plan_corpus(config: CorpusConfig) -> tuple[CorpusJob, InputPlan]:
    """Lists the inputs, reads the vocabulary, and resolves options that were left open.

    Returns:
        The job and its plan.

    Raises:
        InputError: if an input matches no file, or all files are empty.
        VocabularyError: if the vocabulary is missing or malformed.
    """
    path = find_vocabulary(config.vocab)
    vocabulary = read_vocabulary(path)
    tokenizer, casing = tokenizer_of_file(path, vocabulary, lower_case=config.lower_case)
    plan = plan_inputs(config)
    config = dataclasses.replace(
        config,
        block_bytes=plan.block_bytes,
        lower_case=tokenizer.lower_case,
        max_predictions_per_seq=config.prediction_room(),
        max_sequences_per_row=config.most_sequences() or config.max_sequences_per_row,
    )
    options = {name: value for name, value in to_dict(config).items() if name not in _NOT_IN_KEY}
    special_ids = tuple(tokenizer.special_ids.items())
    identity = [options, hashlib.sha256(vocabulary).hexdigest(), special_ids, __version__]
    key = hashlib.sha256(json.dumps(identity).encode())
    modified = hashlib.sha256()
    for file in plan.files:  # One by one: there may be millions.
        key.update(json.dumps(file[:-1]).encode())
        modified.update(f"{file.modified}\n".encode())
    job = CorpusJob(config, vocabulary, len(plan.blocks), casing, key.hexdigest(), modified.hexdigest(), special_ids)
    return job, plan
