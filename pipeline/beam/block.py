"""One block, from its bytes to its shards: the pure layers, put in a row."""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline import files
from pipeline.beam.config import CorpusConfig
from pipeline.instances.examples import make_examples
from pipeline.instances.instances import Instances, TokenizedDocuments, drop_empty
from pipeline.instances.pairings import make_instances, special_tokens
from pipeline.manifest import Shard
from pipeline.records import RecordSpec, encode_tfrecords
from pipeline.seeding import generator
from pipeline.text.documents import clean_documents
from pipeline.text.plan import Block
from pipeline.text.split import is_set_apart
from pipeline.text.splitters import sentence_splitter
from pipeline.tokenizers.base import Tokenizer

SPLITS = ("train", "validation")
_TOKENS_A_BATCH = 1 << 19  # Examples are made and encoded in batches of about so many tokens: bounds memory.


@dataclass(frozen=True)
class BlockResult:
    """What one block gave.

    Attributes:
        shards: its shards, one a split and bin of lengths.
        counts: by split (and "text" for what was counted before the split), what was counted.
    """

    shards: tuple[Shard, ...]
    counts: dict[str, dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The result as plain values, for its sidecar."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> BlockResult:
        """The inverse of `to_json`."""
        return BlockResult(tuple(Shard(**shard) for shard in data["shards"]), data["counts"])


def shard_name(split: str, index: int, blocks: int, config: CorpusConfig, bin_index: int) -> str:
    """The name of a block's shard of one split and one bin of lengths."""
    length = f"-len{config.specs()[bin_index].max_seq_length}" if config.bins else ""
    return f"{split}{length}-{index:05d}-of-{blocks:05d}.tfrecord" + (".gz" if config.compression == "gzip" else "")


def build_block(
    block: Block,
    *,
    blocks: int,
    config: CorpusConfig,
    tokenizer: Tokenizer,
    duplicates: Mapping[int, str] = MappingProxyType({}),
) -> BlockResult:
    """Reads a block and writes its shards.

    Args:
        block: the block.
        blocks: how many blocks the plan has.
        config: the job's options.
        tokenizer: the job's tokenizer.
        duplicates: the documents of the block to drop: by number, in the order of `clean_documents`, why.

    Raises:
        UserError: if the input cannot be read or a shard cannot be written.
    """
    text_counts: Counter[str] = Counter()
    splits = _read_splits(block, config, duplicates, text_counts)
    shards, counts = [], {"text": dict(text_counts)}
    for split in SPLITS if config.validation_fraction else SPLITS[:1]:
        split_counts: Counter[str] = Counter()
        documents = _tokenize(splits[split], tokenizer, split_counts)
        splits[split].clear()  # Its memory is needed for what follows.
        shards += _write_shards(split, block.index, blocks, documents, config, tokenizer, split_counts)
        counts[split] = dict(split_counts)
    return BlockResult(tuple(shards), counts)


def _read_splits(
    block: Block, config: CorpusConfig, duplicates: Mapping[int, str], counts: Counter[str]
) -> dict[str, list[list[str]]]:
    """The block's documents as lists of sentences, by split."""
    splits: dict[str, list[list[str]]] = {split: [] for split in SPLITS}
    numbers = itertools.count()
    for segment in block.segments:
        split_sentences = sentence_splitter(config.sentence_splitter, segment.format)
        for document in clean_documents(segment, config, counts):
            if reason := duplicates.get(next(numbers)):
                counts[f"dropped/{reason}"] += 1
                continue
            counts["documents"] += 1
            counts["characters"] += len(document)
            sentences = split_sentences(document)
            counts["sentences"] += len(sentences)
            apart = is_set_apart(document, config.validation_fraction, config.seed)
            splits[SPLITS[apart]].append(sentences)
    return splits


def _tokenize(documents: list[list[str]], tokenizer: Tokenizer, counts: Counter[str]) -> TokenizedDocuments:
    batch = tokenizer.encode([sentence for document in documents for sentence in document])
    splits = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    tokenized = drop_empty(batch.ids, batch.row_splits, splits)
    counts["documents"] += tokenized.documents
    counts["documents_dropped_without_token"] += len(documents) - tokenized.documents
    counts["text_tokens"] += len(batch.ids)
    return tokenized


def _write_shards(
    split: str,
    index: int,
    blocks: int,
    documents: TokenizedDocuments,
    config: CorpusConfig,
    tokenizer: Tokenizer,
    counts: Counter[str],
) -> list[Shard]:
    """Writes the shards of one split, one for each bin of lengths."""
    place = (index, SPLITS.index(split))
    token_ids, instances = make_instances(
        documents,
        pairing=config.pairing,
        max_seq_length=config.max_seq_length,
        short_seq_prob=config.short_seq_prob,
        # One copy of what is only evaluated on: more would count the same text again.
        copies=config.copies() if split == "train" else 1,
        sep_id=tokenizer.special_ids["sep"],
        generator=lambda copy: generator(config.seed, "pairs", *place, copy),
        counts=counts,
    )
    instances = instances.take(generator(config.seed, "shuffle", *place).permutation(len(instances)))
    specs = config.specs()
    lengths = instances.a_length + instances.b_length + special_tokens(config.pairing)
    bin_of = np.searchsorted([spec.max_seq_length for spec in specs], lengths)
    shards = []
    for bin_index, spec in enumerate(specs):
        binned = instances.take(bin_of == bin_index)
        counted: Counter[str] = Counter()
        batches = _encoded_batches(token_ids, binned, spec, (*place, bin_index), config, tokenizer, counted)
        name = shard_name(split, index, blocks, config, bin_index)
        writer = _write_records(files.join(config.output, name), batches, config.compression)
        counts.update(counted)
        shards.append(
            Shard(
                name=name,
                split=split,
                max_seq_length=spec.max_seq_length,
                max_predictions_per_seq=spec.max_predictions_per_seq,
                examples=counted["examples"],
                tokens=counted["tokens"],
                predictions=counted["predictions"],
                bytes=writer.bytes,
                sha256=writer.sha256,
            )
        )
    counts["padding"] += sum(shard.examples * shard.max_seq_length - shard.tokens for shard in shards)
    return shards


def _encoded_batches(
    token_ids: np.ndarray,
    instances: Instances,
    spec: RecordSpec,
    place: tuple[int, ...],
    config: CorpusConfig,
    tokenizer: Tokenizer,
    counts: Counter[str],
) -> Iterator[bytes]:
    """Instances as TFRecords, in batches."""
    policy = dataclasses.replace(config.masking_policy(), max_predictions_per_seq=spec.max_predictions_per_seq)
    batch = max(1, _TOKENS_A_BATCH // spec.max_seq_length)
    for number, start in enumerate(range(0, len(instances), batch)):
        columns = make_examples(
            token_ids,
            instances.take(slice(start, start + batch)),
            spec=spec,
            policy=policy,
            tokenizer=tokenizer,
            rng=generator(config.seed, "mask", *place, number),
            counts=counts,
        )
        yield encode_tfrecords(spec, columns)[0].tobytes()


def _write_records(path: str, batches: Iterable[bytes], compression: str) -> files.AtomicWriter:
    """Writes a shard; returns what counted its bytes."""
    compressor = zlib.compressobj(wbits=31) if compression == "gzip" else None  # 31: GZIP, without a time.
    with files.write_file(path) as writer:
        for records in batches:
            writer.write(compressor.compress(records) if compressor else records)
        if compressor:
            writer.write(compressor.flush())
    return writer
