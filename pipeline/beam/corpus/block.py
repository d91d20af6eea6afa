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
from typing import Any, NamedTuple

import numpy as np

from pipeline import files
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.shard_writer import ShardWriter, open_shard
from pipeline.errors import InputError
from pipeline.instances.examples import make_examples
from pipeline.instances.instances import Instances, TokenizedDocuments, concatenate, drop_empty
from pipeline.instances.pairings import make_instances, special_tokens
from pipeline.instances.rows import Rows, pack
from pipeline.manifest import Shard
from pipeline.records.spec import RecordSpec, encode_tfrecords
from pipeline.seeding import generator
from pipeline.text.documents import clean_documents
from pipeline.text.reading.document import Samples, TextCounts
from pipeline.text.reading.plan import Block
from pipeline.text.split import is_set_apart
from pipeline.text.splitters import sentence_splitter
from pipeline.tokenizers.base import Tokenizer

LENGTHS = "document_lengths/"  # Counters of documents by the binary digits of their characters.
SPLITS = ("train", "validation")
# Characters of a part of a block. A worker holds one part in memory at a time, however large the block is.
PART_CHARACTERS = 1 << 22
_TOKENS_A_BATCH = 1 << 19  # Approximate tokens per batch of examples: bounds memory.


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


class _Place(NamedTuple):
    """The unit with its own random numbers: the documents of one split in a part of a block.

    Attributes:
        block: the block's index in the plan.
        split: a name of `SPLITS`.
        part: the part's number in the block.
    """

    block: int
    split: str
    part: int

    def numbers(self) -> tuple[int, int, int]:
        """Returns the place as arguments of `pipeline.seeding.generator`."""
        return self.block, SPLITS.index(self.split), self.part


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
    text_counts = TextCounts()
    splits = SPLITS if config.validation_fraction else SPLITS[:1]
    counts: dict[str, Counter[str]] = {split: Counter() for split in splits}
    specs = config.specs()
    names = {split: [shard_name(split, block.index, blocks, config, i) for i in range(len(specs))] for split in splits}
    with contextlib.ExitStack() as stack:
        writers = {
            split: [
                stack.enter_context(
                    open_shard(files.join(config.output, name), spec, config.compression, before_naming)
                )
                for name, spec in zip(names[split], specs, strict=True)
            ]
            for split in splits
        }
        for part, texts in enumerate(_read_parts(block, config, duplicates, text_counts)):
            for split in splits:
                documents = _tokenize(texts[split], tokenizer, counts[split])
                texts[split].clear()  # Frees memory for what follows.
                place = _Place(block.index, split, part)
                _write_part(documents, writers[split], place, config, tokenizer, counts[split])
        _check_unmodified(block)
    shards: list[Shard] = []
    indexes: list[str] = []
    for split in splits:
        indexes += [base64.b64encode(writer.index()).decode() for writer in writers[split]]
        shards += [writer.describe(name, split) for writer, name in zip(writers[split], names[split], strict=True)]
        for writer in writers[split]:
            counts[split].update(writer.counts)
            room = writer.counts["examples"] * writer.spec.max_seq_length
            counts[split]["padding"] += room - writer.counts["tokens"]
            if writer.spec.packed:
                room = writer.counts["sequences"] * writer.spec.max_seq_length
                counts[split]["padding_unpacked"] += room - writer.counts["tokens"]
    by_split = {split: dict(counts[split]) for split in splits}
    counted = {"text": dict(text_counts)} | by_split
    return BlockResult(tuple(shards), counted, text_counts.dropped, tuple(indexes))


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


def _read_parts(
    block: Block, config: CorpusConfig, duplicates: Mapping[int, str], counts: TextCounts
) -> Iterator[dict[str, list[list[str]]]]:
    """Yields the block's documents as lists of sentences, by split, in parts that fit into memory."""
    chars = 0
    texts: dict[str, list[list[str]]] = {split: [] for split in SPLITS}
    numbers = itertools.count()
    for segment in block.segments:
        split_sentences = sentence_splitter(config.sentence_splitter, segment.format)
        for document in clean_documents(segment, config, counts):
            if reason := duplicates.get(next(numbers)):
                counts.drop(document, reason)
                continue
            counts["documents"] += 1
            counts["characters"] += len(document.text)
            counts[f"{LENGTHS}{len(document.text).bit_length()}"] += 1
            sentences = split_sentences(document.text)
            counts["sentences"] += len(sentences)
            apart = is_set_apart(document.text, config.validation_fraction, config.seed)
            texts[SPLITS[apart]].append(sentences)
            chars += len(document.text)
            if chars >= PART_CHARACTERS:
                yield texts
                texts, chars = {split: [] for split in SPLITS}, 0
    yield texts


def _tokenize(documents: list[list[str]], tokenizer: Tokenizer, counts: Counter[str]) -> TokenizedDocuments:
    batch = tokenizer.encode(list(itertools.chain.from_iterable(documents)))
    splits = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    tokenized = drop_empty(batch.ids, batch.row_splits, splits)
    counts["documents"] += tokenized.documents
    counts["documents_dropped_without_token"] += len(documents) - tokenized.documents
    counts["text_tokens"] += len(batch.ids)
    return tokenized


def _write_part(
    documents: TokenizedDocuments,
    writers: Sequence[ShardWriter],
    place: _Place,
    config: CorpusConfig,
    tokenizer: Tokenizer,
    counts: Counter[str],
) -> None:
    """Makes the examples of a part of one split, and writes each to the shard of its bin of lengths."""
    token_ids, copies = make_instances(
        documents,
        pairing=config.pairing,
        max_seq_length=config.max_seq_length,
        short_seq_prob=config.short_seq_prob,
        # One copy of validation text: more would only count the same text again.
        copies=config.copies() if place.split == "train" else 1,
        for_packing=config.packing != "none",
        sep_id=tokenizer.special_ids["sep"],
        generator=lambda copy: generator(config.seed, "pairs", *place.numbers(), copy),
        counts=counts,
    )
    for bin_index, (writer, rows) in enumerate(zip(writers, _rows(copies, writers, place, config), strict=True)):
        for records in _encoded_batches(
            token_ids, rows, writer.spec, (*place.numbers(), bin_index), config, tokenizer, writer.counts
        ):
            writer.write(*records)


def _rows(
    copies: Sequence[Instances], writers: Sequence[ShardWriter], place: _Place, config: CorpusConfig
) -> Iterator[Rows]:
    """Yields the rows of each bin of lengths, in random order."""
    rng = generator(config.seed, "shuffle", *place.numbers())
    limits = [writer.spec.max_seq_length for writer in writers]
    special = special_tokens(config.pairing)

    def bin_of(instances: Instances) -> np.ndarray:
        return np.searchsorted(limits, instances.a_length + instances.b_length + special)

    if config.packing == "none":
        instances = concatenate(copies)
        instances = instances.take(rng.permutation(len(instances)))
        bins = bin_of(instances)
        for bin_index in range(len(writers)):
            yield Rows.one_each(instances.take(bins == bin_index))
        return
    for bin_index, writer in enumerate(writers):
        yield pack(
            [copy.take(bin_of(copy) == bin_index) for copy in copies],
            special_tokens=special,
            row_length=writer.spec.max_seq_length,
            max_sequences=writer.spec.max_sequences_per_row,
            rng=rng,
        )


def _encoded_batches(
    token_ids: np.ndarray,
    rows: Rows,
    spec: RecordSpec,
    place: tuple[int, ...],
    config: CorpusConfig,
    tokenizer: Tokenizer,
    counts: Counter[str],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Encodes rows as TFRecords, in batches, with where each record begins."""
    policy = dataclasses.replace(config.masking_policy(), max_predictions_per_seq=spec.max_predictions_per_seq)
    batch = max(1, _TOKENS_A_BATCH // spec.max_seq_length)
    for number, start in enumerate(range(0, len(rows), batch)):
        columns = make_examples(
            token_ids,
            rows.slice(start, start + batch),
            spec=spec,
            policy=policy,
            tokenizer=tokenizer,
            rng=generator(config.seed, "mask", *place, number),
            counts=counts,
        )
        yield encode_tfrecords(spec, columns)
