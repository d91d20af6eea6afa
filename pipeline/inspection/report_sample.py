"""Reads from a sample of examples what a report shows beyond the manifest."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.examples import Examples
from pipeline.records.decoding import check_examples, read_serialized, value_ranges
from pipeline.seeding import generator
from pipeline.tokenizers.base import Tokenizer


@dataclass
class ReportSample:
    """Counts of a sample of the training examples.

    Attributes:
        examples: the number of examples read.
        shards: the number of shards that they are from.
        lengths: int64 `[S + 1]`, sequences of each length in tokens: examples, or what packed rows hold.
        token_counts: int64 `[vocab_size]`, occurrences of each token before masking, without special tokens.
        predicted_at: int64 `[S]`, predictions at each position.
        tokens_at: int64 `[S]`, maskable tokens at each position.
        words: words that begin in them, as whole-word masking finds them.
    """

    examples: int
    shards: int
    lengths: np.ndarray
    token_counts: np.ndarray
    predicted_at: np.ndarray
    tokens_at: np.ndarray
    words: int


def read_sample(corpus: Corpus, tokenizer: Tokenizer, most_examples: int) -> ReportSample:
    """Reads the first examples of training shards, the same share of each shard.

    The examples of a shard are in random order. If there are many shards, a random choice of them is read.

    Args:
        corpus: the corpus.
        tokenizer: its tokenizer.
        most_examples: the approximate number of examples to read.

    Raises:
        UserError: if a shard is missing or damaged.
    """
    length, manifest = corpus.config.max_seq_length, corpus.manifest
    shards = [shard for shard in manifest.split("train") if shard.examples]
    order = generator(corpus.config.seed, "report").permutation(len(shards))
    # At least 200 from each shard: opening it costs more than reading them.
    each = max(200, most_examples // max(len(shards), 1))
    chosen = [shards[index] for index in sorted(order[: max(1, most_examples // each)].tolist())]
    sample = ReportSample(
        examples=0,
        shards=len(chosen),
        lengths=np.zeros(length + 1, np.int64),
        token_counts=np.zeros(manifest.tokenizer.vocab_size, np.int64),
        predicted_at=np.zeros(length, np.int64),
        tokens_at=np.zeros(length, np.int64),
        words=0,
    )
    share = min(1.0, most_examples / max(1, sum(shard.examples for shard in chosen)))
    for shard in chosen:
        wanted = max(1, round(shard.examples * share))
        spec = manifest.shard_spec(shard)
        records = list(itertools.islice(read_serialized(corpus.path(shard)), wanted))
        ranges = value_ranges(spec, vocab_size=manifest.tokenizer.vocab_size)
        columns = check_examples(spec, records, ranges, corpus.path(shard))
        examples = Examples.from_columns(columns, manifest.tokenizer.special_ids)
        sample.examples += len(examples)
        sample.lengths += np.bincount(examples.sums(examples.real), minlength=length + 1)
        sample.token_counts += np.bincount(examples.ids[examples.ordinary], minlength=len(sample.token_counts))
        sample.words += int((tokenizer.word_boundaries.find(examples.ids) & examples.ordinary).sum())
        sample.predicted_at[: spec.max_seq_length] += examples.predicted.sum(axis=0)
        sample.tokens_at[: spec.max_seq_length] += examples.ordinary.sum(axis=0)
    return sample
