"""Instances to examples: special tokens, padding, masking, in numpy passes over a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from pipeline.instances.instances import Instances
from pipeline.masking import MaskingPolicy, mask_examples
from pipeline.records import RecordSpec
from pipeline.tokenizers.base import Tokenizer


def make_examples(
    token_ids: np.ndarray,
    instances: Instances,
    *,
    spec: RecordSpec,
    policy: MaskingPolicy,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    counts: Counter[str],
) -> dict[str, np.ndarray]:
    """Makes masked examples, `[CLS] A [SEP] B [SEP]`, padded.

    Args:
        token_ids: int32, what the instances' ranges refer to.
        instances: a batch of them.
        spec: the examples' shape.
        policy: how to mask them.
        tokenizer: whose special and ordinary ids to use.
        rng: the generator of this batch.
        counts: gets "examples", "tokens", "unknown_tokens", "predictions", "replaced_by_mask", "replaced_at_random",
            "random_next".

    Returns:
        By v2 feature name, the columns of `pipeline.records.encode_tfrecords`.
    """
    special = tokenizer.special_ids
    ids, type_ids, maskable = _lay_out(token_ids, instances, spec.max_seq_length, special)
    lengths = instances.a_length + instances.b_length + 3
    masked = mask_examples(
        ids,
        maskable,
        tokenizer.starts_word[ids],
        lengths,
        policy=policy,
        mask_id=special["mask"],
        ordinary_ids=tokenizer.ordinary_ids,
        rng=rng,
    )
    counts["examples"] += len(instances)
    counts["tokens"] += int(lengths.sum())
    counts["unknown_tokens"] += int((ids[maskable] == special["unk"]).sum())
    counts["predictions"] += int(masked.weights.sum(dtype=np.int64))
    counts["replaced_by_mask"] += masked.replaced_by_mask
    counts["replaced_at_random"] += masked.replaced_at_random
    counts["random_next"] += int(instances.label.sum())
    columns = {
        "input_word_ids": masked.input_word_ids,
        "input_mask": (np.arange(spec.max_seq_length) < lengths[:, np.newaxis]).astype(np.uint8),
        "input_type_ids": type_ids,
        "masked_lm_positions": masked.positions,
        "masked_lm_ids": masked.ids,
        "masked_lm_weights": masked.weights,
    }
    if spec.next_sentence:
        columns["next_sentence_labels"] = instances.label[:, np.newaxis]
    return columns


def _lay_out(
    token_ids: np.ndarray, instances: Instances, max_seq_length: int, special: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gathers the tokens: ids int32, type ids uint8, and where neither a special token nor padding is, all [n, S]."""
    place = np.arange(max_seq_length)
    a_length, b_length = instances.a_length[:, np.newaxis], instances.b_length[:, np.newaxis]
    in_a = (place >= 1) & (place <= a_length)
    in_b = (place >= a_length + 2) & (place < a_length + 2 + b_length)
    source = np.where(
        in_a, instances.a_start[:, np.newaxis] + (place - 1), instances.b_start[:, np.newaxis] + (place - a_length - 2)
    )
    maskable = in_a | in_b
    ids = np.full(maskable.shape, special["pad"], np.int32)
    ids[maskable] = token_ids[source[maskable]]
    rows = np.arange(len(instances))
    last = instances.a_length + instances.b_length + 2
    ids[:, 0] = special["cls"]
    ids[rows, instances.a_length + 1] = special["sep"]
    ids[rows, last] = special["sep"]
    type_ids = in_b.astype(np.uint8)
    type_ids[rows, last] = 1
    return ids, type_ids, maskable
