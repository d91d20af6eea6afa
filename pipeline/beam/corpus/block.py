"""Turns one block of input into shards, by chaining the pure layers."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from pipeline import files
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.parts import EncodedExamples, SplitCounts, encode_documents, splits
from pipeline.beam.corpus.shard_writer import ShardWriter, open_shard
from pipeline.errors import InputError
from pipeline.manifest import Shard
from pipeline.records.spec import RecordSpec
from pipeline.text.documents import clean_documents
from pipeline.text.reading.document import Samples, TextCounts
from pipeline.text.reading.plan import Block
from pipeline.text.splitters import sentence_splitter
from pipeline.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class BlockResult:
    """The result of one block.

    Attributes:
        shards: its shards, one per split and bin of lengths.
        counts: counts by split, and "text" for counts made before the split.
        dropped: samples of the dropped documents, by reason; see `TextCounts`.
        indexes: the index of each shard's chunks, in Base64; see `pipeline.records.chunks`.
    """

    shards: tuple[Shard, ...]
    counts: dict[str, dict[str, int]]
    dropped: Samples = dataclasses.field(default_factory=dict)
    indexes: tuple[str, ...] = ()

    def index_of(self, shard: Shard) -> bytes:
        """Returns the index of the chunks of one of its shards."""
        names = [found.name for found in self.shards]
        return base64.b64decode(self.indexes[names.index(shard.name)])

    def to_json(self) -> dict[str, Any]:
        """Returns the result as plain values, for its sidecar."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> BlockResult:
        """The inverse of `to_json`."""
        shards = tuple(Shard(**shard) for shard in data["shards"])
        return BlockResult(shards, data["counts"], data.get("dropped", {}), tuple(data.get("indexes", ())))


def shard_name(split: str, index: int, blocks: int, config: CorpusConfig, bin_index: int) -> str:
    """Returns the name of a block's shard for one split and one bin of lengths."""
    length = f"-len{config.specs()[bin_index].max_seq_length}" if config.bins else ""
    width = max(5, len(str(blocks)))  # Names sort like their numbers.
    return f"{split}{length}-{index:0{width}d}-of-{blocks:0{width}d}.tfrecord" + (
        ".gz" if config.compression == "gzip" else ""
    )


def build_block(
    block: Block,
    *,
    blocks: int,
    config: CorpusConfig,
    tokenizer: Tokenizer,
    duplicates: Mapping[int, str] = MappingProxyType({}),
    before_naming: Callable[[], None] | None = None,
) -> BlockResult:
    """Reads a block and writes its shards.

    Args:
        block: the block.
        blocks: number of blocks in the plan.
        config: the job's options.
        tokenizer: the job's tokenizer.
        duplicates: the documents of the block to drop: maps numbers, in the order of `clean_documents`, to reasons.
        before_naming: called before each shard gets its final name; if it raises, there is no shard.

    Raises:
        UserError: if the input cannot be read or was modified since planning, or a shard cannot be written.
    """
    text_counts, counts = TextCounts(), SplitCounts(config)
    with open_shards(block.index, blocks, config, before_naming) as shards:
        documents = _documents(block, config, duplicates, text_counts)
        for batch in encode_documents(
            documents, block.index, config=config, tokenizer=tokenizer, text_counts=text_counts, counts=counts
        ):
            shards.write(batch)
        _check_unmodified(block)
    return shards.result(text_counts, counts)


class OpenShards:
    """The shards of a block while they are written; see `open_shards`.

    Args:
        writers: by split, for each bin of lengths, the name of the shard and its writer.
    """

    def __init__(self, writers: Mapping[str, Sequence[tuple[str, ShardWriter]]]) -> None:
        self._writers = writers

    def write(self, batch: EncodedExamples) -> None:
        """Appends examples to the shard of their split and bin."""
        _, writer = self._writers[batch.split][batch.bin_index]
        writer.write(batch.records, batch.row_splits)

    def result(self, text_counts: TextCounts, counts: SplitCounts) -> BlockResult:
        """Describes the shards, which must be finished.

        Args:
            text_counts: the counts of the block's text.
            counts: the counts of the examples that were written.
        """
        shards: list[Shard] = []
        indexes: list[str] = []
        by_split = {split: Counter(found) for split, found in counts.splits.items()}
        for split, writers in self._writers.items():
            for (name, writer), of_bin in zip(writers, counts.bins[split], strict=True):
                shards.append(writer.describe(name, split, of_bin))
                indexes.append(base64.b64encode(writer.index()).decode())
                by_split[split].update(of_bin)
                room = of_bin["examples"] * writer.spec.max_seq_length
                by_split[split]["padding"] += room - of_bin["tokens"]
                if writer.spec.packed:
                    room = of_bin["sequences"] * writer.spec.max_seq_length
                    by_split[split]["padding_unpacked"] += room - of_bin["tokens"]
        counted = {"text": dict(text_counts)} | {split: dict(found) for split, found in by_split.items()}
        return BlockResult(tuple(shards), counted, text_counts.dropped, tuple(indexes))


@contextlib.contextmanager
def open_shards(
    index: int, blocks: int, config: CorpusConfig, before_naming: Callable[[], None] | None = None
) -> Iterator[OpenShards]:
    """Opens the shards of a block, one for each split and bin of lengths.

    They get their final names when the body ends, and do not exist if it fails.

    Args:
        index: the number of the block.
        blocks: number of blocks of the corpus.
        config: the options.
        before_naming: called before each shard gets its final name; if it raises, there is no shard.

    Raises:
        OutputError: if a shard cannot be written.
    """
    with contextlib.ExitStack() as stack:

        def open_one(split: str, bin_index: int, spec: RecordSpec) -> tuple[str, ShardWriter]:
            name = shard_name(split, index, blocks, config, bin_index)
            path = files.join(config.output, name)
            return name, stack.enter_context(open_shard(path, spec, config.compression, before_naming))

        specs = config.specs()
        yield OpenShards(
            {split: [open_one(split, i, spec) for i, spec in enumerate(specs)] for split in splits(config)}
        )


def _check_unmodified(block: Block) -> None:
    """Checks that the files read are those planned; reading itself only detects changes of length."""
    for segment in block.segments:
        if not segment.modified or files.is_remote(segment.path):  # Asking a store is as slow as reading.
            continue
        try:
            now = files.info(segment.path)
        except OSError as error:
            raise InputError(f"Cannot read {segment.path}", received=str(error)) from error
        if now.bytes == segment.file_bytes and now.modified != segment.modified:
            raise InputError(
                f"{segment.path} was modified while the job ran",
                do="Run the job again, and do not change its inputs while it runs",
            )


def _documents(
    block: Block, config: CorpusConfig, duplicates: Mapping[int, str], counts: TextCounts
) -> Iterator[tuple[str, list[str]]]:
    """Yields the text and the sentences of the block's documents."""
    numbers = itertools.count()
    for segment in block.segments:
        split_sentences = sentence_splitter(config.sentence_splitter, segment.format)
        for document in clean_documents(segment, config, counts):
            if reason := duplicates.get(next(numbers)):
                counts.drop(document, reason)
                continue
            yield document.text, split_sentences(document.text)
