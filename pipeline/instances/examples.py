"""Makes examples of rows of instances: special tokens, padding and masking, in numpy passes over a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from pipeline.instances.rows import Rows
from pipeline.masking import MaskingPolicy, mask_examples
from pipeline.records.spec import RecordSpec
from pipeline.tokenizers.base import Tokenizer


def make_examples(
    token_ids: np.ndarray,
    rows: Rows,
    *,
    spec: RecordSpec,
    policy: MaskingPolicy,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    counts: Counter[str],
) -> dict[str, np.ndarray]:
    """Makes examples, `[CLS] A [SEP] B [SEP]` or `[CLS] A [SEP]`, padded; masked if `spec.masked`.

    If `spec.packed`, an example is a row of several such sequences, and is masked as a whole.

    Args:
        token_ids: int32, the tokens that the instances' ranges refer to.
        rows: a batch of rows, of one instance each if they are not packed.
        spec: the shape of the examples.
        policy: how to mask them.
        tokenizer: provides the special and ordinary ids.
        rng: the generator of this batch.
        counts: incremented at "examples", "tokens", "unknown_tokens", "label_1" (of `next_sentence_labels`), for
            packed rows at "sequences", and for masked examples at "predictions", "replaced_by_mask",
            "replaced_at_random".

    Returns:
        The columns for `pipeline.records.spec.encode_tfrecords`, by v2 feature name.
    """
    special = tokenizer.special_ids
    ids, type_ids, ordinary, sequence_ids = _lay_out(token_ids, rows, spec, special)
    begins, lengths = _places(rows, spec)
    counts["examples"] += len(rows)
    counts["tokens"] += int(lengths.sum())
    counts["unknown_tokens"] += int(np.count_nonzero((ids == special["unk"]) & ordinary))
    columns = {"input_type_ids": type_ids}
    if spec.packed:
        counts["sequences"] += len(rows.instances)
        columns["input_sequence_ids"] = sequence_ids
    if spec.next_sentence:
        counts["label_1"] += int(rows.instances.label.sum())
        columns |= _labels(rows, begins, spec)
    if not spec.masked:
        return columns | {
            "input_word_ids": ids,
            "word_starts": (tokenizer.word_boundaries.find(ids) & ordinary).astype(np.uint8),
        }
    masked = mask_examples(
        ids,
        ids if policy.unit == "token" else tokenizer.word_boundaries.find(ids).astype(np.int32),
        rng.integers(2**64, size=len(ids), dtype=np.uint64),
        policy=policy,
        special_ids=special,
        ordinary_ids=tokenizer.ordinary_ids,
    )
    counts["predictions"] += int(masked.weights.sum(dtype=np.int64))
    counts["replaced_by_mask"] += masked.replaced_by_mask
    counts["replaced_at_random"] += masked.replaced_at_random
    return columns | {
        "input_word_ids": masked.input_word_ids,
        "input_mask": (np.arange(spec.max_seq_length) < lengths[:, np.newaxis]).astype(np.uint8),
        "masked_lm_positions": masked.positions,
        "masked_lm_ids": masked.ids,
        "masked_lm_weights": masked.weights,
    }


def _lay_out(
    token_ids: np.ndarray, rows: Rows, spec: RecordSpec, special: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gathers the tokens of a batch.

    Returns:
        Ids, int32 `[n, S]`; type ids, uint8 `[n, S]`; whether a token is neither special nor padding, bool `[n, S]`;
        and sequence ids, int32 `[n, S]`, or `[n, 0]` if rows are not packed.
    """
    from pipeline.instances import kernels

    shape, instances = (len(rows), spec.max_seq_length), rows.instances
    ids, type_ids = np.full(shape, special["pad"], np.int32), np.zeros(shape, np.uint8)
    ordinary, sequence_ids = np.zeros(shape, bool), np.zeros(shape if spec.packed else (len(rows), 0), np.int32)
    ranges = (instances.a_start, instances.a_length, instances.b_start, instances.b_length)
    special_ids = (special["cls"], special["sep"])
    written = (ids, type_ids, ordinary, sequence_ids)
    kernels.lay_out(token_ids, rows.splits, *ranges, spec.next_sentence, *special_ids, *written)
    return written


def _places(rows: Rows, spec: RecordSpec) -> tuple[np.ndarray, np.ndarray]:
    """Returns where in its row each sequence begins, int64 `[sequences]`, and the tokens of each row, int64 `[n]`."""
    instances = rows.instances
    lengths = instances.a_length + instances.b_length + (3 if spec.next_sentence else 2)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    begins = ends[:-1] - np.repeat(ends[rows.splits[:-1]], np.diff(rows.splits))
    return begins, np.diff(ends[rows.splits])


def _labels(rows: Rows, begins: np.ndarray, spec: RecordSpec) -> dict[str, np.ndarray]:
    """Returns the columns of next-sentence labels."""
    labels = rows.instances.label
    if not spec.packed:
        return {"next_sentence_labels": labels[:, np.newaxis]}
    shape, sequences = (len(rows), spec.max_sequences_per_row), np.diff(rows.splits)
    places = np.repeat(np.arange(len(rows)), sequences), np.arange(len(labels)) - np.repeat(rows.splits[:-1], sequences)
    stored, weights = np.zeros((2, *shape), np.int32), np.zeros(shape, np.float32)
    stored[0][places], stored[1][places], weights[places] = begins, labels, 1
    return {
        "next_sentence_positions": stored[0],
        "next_sentence_labels": stored[1],
        "next_sentence_weights": weights,
    }
