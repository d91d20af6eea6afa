"""Turns documents into encoded examples, by chaining the pure layers, in parts that fit into memory."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.instances.examples import make_examples
from pipeline.instances.instances import Instances, TokenizedDocuments, concatenate, drop_empty
from pipeline.instances.pairings import make_instances, special_tokens
from pipeline.instances.rows import Rows, pack
from pipeline.records.spec import RecordSpec, encode_tfrecords
from pipeline.seeding import generator
from pipeline.text.split import is_set_apart
from pipeline.tokenizers.base import Tokenizer

LENGTHS = "document_lengths/"  # Counters of documents by the binary digits of their characters.
SPLITS = ("train", "validation")
# Characters of a part of a block. A worker holds one part in memory at a time, however large the block is.
PART_CHARACTERS = 1 << 22
_TOKENS_A_BATCH = 1 << 19  # Approximate tokens per batch of examples: bounds memory.


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


def splits(config: CorpusConfig) -> tuple[str, ...]:
    """Returns the splits of a corpus."""
    return SPLITS if config.validation_fraction else SPLITS[:1]


class EncodedExamples(NamedTuple):
    """A batch of examples of one split and one bin of lengths.

    Attributes:
        split: a name of `SPLITS`.
        bin_index: the index of its bin in `CorpusConfig.specs`.
        records: uint8, framed records, one behind another; see `pipeline.records.spec.encode_tfrecords`.
        row_splits: int64 `[examples + 1]`, where each begins.
    """

    split: str
    bin_index: int
    records: np.ndarray
    row_splits: np.ndarray


class SplitCounts:
    """The counts of the examples of a block.

    Attributes:
        splits: by split, of documents, tokens of text and instances.
        bins: by split, for each bin of lengths, of examples: at least "examples", "tokens" and "predictions".
    """

    def __init__(self, config: CorpusConfig) -> None:
        names, specs = splits(config), config.specs()
        self.splits: dict[str, Counter[str]] = {split: Counter() for split in names}
        self.bins: dict[str, list[Counter[str]]] = {split: [Counter() for _ in specs] for split in names}


def encode_documents(
    documents: Iterable[tuple[str, list[str]]],
    block: int,
    *,
    config: CorpusConfig,
    tokenizer: Tokenizer,
    text_counts: Counter[str],
    counts: SplitCounts,
) -> Iterator[EncodedExamples]:
    """Makes the examples of the documents of a block.

    Args:
        documents: the text of each, which decides its split, and its sentences.
        block: the number of the block, at least 0, by which random numbers are drawn.
        config: the job's options.
        tokenizer: the job's tokenizer.
        text_counts: incremented at "documents", "characters", "sentences" and `LENGTHS`.
        counts: the counts to increment.
    """
    for part, texts in enumerate(_parts(documents, config, text_counts)):
        for split in counts.splits:
            tokenized = _tokenize(texts[split], tokenizer, counts.splits[split])
            texts[split].clear()  # Frees memory for what follows.
            yield from _encode_part(tokenized, _Place(block, split, part), config, tokenizer, counts)


def _parts(
    documents: Iterable[tuple[str, list[str]]], config: CorpusConfig, counts: Counter[str]
) -> Iterator[dict[str, list[list[str]]]]:
    """Yields documents as lists of sentences, by split, in parts that fit into memory."""
    chars = 0
    texts: dict[str, list[list[str]]] = {split: [] for split in SPLITS}
    for text, sentences in documents:
        counts["documents"] += 1
        counts["characters"] += len(text)
        counts[f"{LENGTHS}{len(text).bit_length()}"] += 1
        counts["sentences"] += len(sentences)
        apart = is_set_apart(text, config.validation_fraction, config.seed)
        texts[SPLITS[apart]].append(sentences)
        chars += len(text)
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


def _encode_part(
    documents: TokenizedDocuments, place: _Place, config: CorpusConfig, tokenizer: Tokenizer, counts: SplitCounts
) -> Iterator[EncodedExamples]:
    """Makes the examples of a part of one split, bin by bin."""
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
        counts=counts.splits[place.split],
    )
    specs = config.specs()
    for bin_index, (spec, rows) in enumerate(zip(specs, _rows(copies, specs, place, config), strict=True)):
        bin_counts = counts.bins[place.split][bin_index]
        for records, row_splits in _encoded_batches(
            token_ids, rows, spec, (*place.numbers(), bin_index), config, tokenizer, bin_counts
        ):
            yield EncodedExamples(place.split, bin_index, records, row_splits)


def _rows(
    copies: Sequence[Instances], specs: Sequence[RecordSpec], place: _Place, config: CorpusConfig
) -> Iterator[Rows]:
    """Yields the rows of each bin of lengths, in random order."""
    rng = generator(config.seed, "shuffle", *place.numbers())
    limits = [spec.max_seq_length for spec in specs]
    special = special_tokens(config.pairing)

    def bin_of(instances: Instances) -> np.ndarray:
        return np.searchsorted(limits, instances.a_length + instances.b_length + special)

    if config.packing == "none":
        instances = concatenate(copies)
        instances = instances.take(rng.permutation(len(instances)))
        bins = bin_of(instances)
        for bin_index in range(len(specs)):
            yield Rows.one_each(instances.take(bins == bin_index))
        return
    for bin_index, spec in enumerate(specs):
        yield pack(
            [copy.take(bin_of(copy) == bin_index) for copy in copies],
            special_tokens=special,
            row_length=spec.max_seq_length,
            max_sequences=spec.max_sequences_per_row,
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
