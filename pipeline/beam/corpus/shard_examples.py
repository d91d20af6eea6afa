"""The examples of a shard as an element of a PCollection: how they are made of documents, and written to files."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator

from pipeline import files
from pipeline.beam.corpus.block import BlockResult, open_shards
from pipeline.beam.corpus.elements import Element, documents_of
from pipeline.beam.corpus.parts import EncodedExamples, SplitCounts, encode_documents
from pipeline.beam.corpus.recipe import Recipe
from pipeline.records.tfrecord import FOOTER_BYTES, HEADER_BYTES
from pipeline.text.reading.document import Samples, TextCounts


@dataclasses.dataclass(frozen=True)
class ShardExamples:
    """All examples of one shard: an element that `MakeExamples` makes and `WriteCorpus` writes.

    `serialized` returns its examples, for other sinks.

    Attributes:
        shard: the number of the shard, from 0.
        shards: the number of shards.
        recipe: the options and the vocabulary.
        batches: the encoded examples, in their order.
        counts: counts of the examples.
        text_counts: counts of the documents; see `pipeline.text.reading.document.TextCounts`.
        dropped: samples of the dropped documents, by reason.
        text_bytes: bytes of the documents in UTF-8.
        sha256: SHA-256 of the documents, hexadecimal.
    """

    shard: int
    shards: int
    recipe: Recipe
    batches: tuple[EncodedExamples, ...]
    counts: SplitCounts
    text_counts: dict[str, int]
    dropped: Samples
    text_bytes: int
    sha256: str

    def serialized(self, split: str = "train") -> Iterator[bytes]:
        """Returns the examples of a split, each as a serialized `tf.train.Example`.

        Args:
            split: "train" or "validation".

        Returns:
            An iterator over the examples, in the order in which they are written.
        """
        for batch in self.batches:
            if batch.split == split:
                data, splits = batch.records.tobytes(), batch.row_splits.tolist()
                for begin, end in itertools.pairwise(splits):
                    yield data[begin + HEADER_BYTES : end - FOOTER_BYTES]

    def examples(self, split: str) -> int:
        """Returns the number of examples of a split.

        Args:
            split: "train" or "validation".

        Returns:
            The number; 0 if the corpus has no such split.
        """
        return sum(len(batch.row_splits) - 1 for batch in self.batches if batch.split == split)


def make_shard(shard: int, shards: int, elements: Iterable[Element], recipe: Recipe) -> ShardExamples:
    """Makes the examples of a shard.

    They depend only on the documents, not on their order, the options and the vocabulary.

    Args:
        shard: the number of the shard.
        shards: the number of shards.
        elements: its documents, in any order.
        recipe: the options and the vocabulary.
    """
    ordered = sorted(elements)
    digest = hashlib.sha256()
    for element in ordered:
        digest.update(repr(tuple(element)).encode())
    text_counts, counts = TextCounts(), SplitCounts(recipe.config)
    batches = encode_documents(
        documents_of(ordered, recipe.config, text_counts),
        shard,
        config=recipe.config,
        tokenizer=recipe.tokenizer(),
        text_counts=text_counts,
        counts=counts,
    )
    return ShardExamples(
        shard=shard,
        shards=shards,
        recipe=recipe,
        # Copies: a batch is part of a larger array.
        batches=tuple(batch._replace(records=batch.records.copy()) for batch in batches),
        counts=counts,
        text_counts=dict(text_counts),
        dropped=text_counts.dropped,
        text_bytes=sum(element.bytes for element in ordered),
        sha256=digest.hexdigest(),
    )


def write_shard(examples: ShardExamples, output: str) -> BlockResult:
    """Writes the files of a shard, one for each split and bin of lengths.

    Args:
        examples: the examples.
        output: the directory of the corpus.

    Raises:
        OutputError: if a file cannot be written; no incomplete file then has its final name.
    """
    files.make_directory(output)
    config = dataclasses.replace(examples.recipe.config, output=output)
    text_counts = TextCounts()
    text_counts.update(examples.text_counts)
    text_counts.dropped = examples.dropped
    with open_shards(examples.shard, examples.shards, config) as shards:
        for batch in examples.batches:
            shards.write(batch)
    return shards.result(text_counts, examples.counts)
