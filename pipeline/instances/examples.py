"""Makes examples of instances: special tokens, padding and masking, in numpy passes over a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from pipeline.instances.instances import Instances
from pipeline.masking import MaskingPolicy, mask_examples
from pipeline.records.spec import RecordSpec
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
    """Makes examples, `[CLS] A [SEP] B [SEP]` or `[CLS] A [SEP]`, padded; masked if `spec.masked`.

    Args:
        token_ids: int32, the tokens that the instances' ranges refer to.
        instances: a batch of instances.
        spec: the shape of the examples.
        policy: how to mask them.
        tokenizer: provides the special and ordinary ids.
        rng: the generator of this batch.
        counts: incremented at "examples", "tokens", "unknown_tokens", "label_1" (of `next_sentence_labels`), and for
            masked examples at "predictions", "replaced_by_mask", "replaced_at_random".

    Returns:
        The columns for `pipeline.records.spec.encode_tfrecords`, by v2 feature name.
    """
    special = tokenizer.special_ids
    ids, type_ids, ordinary, lengths = _lay_out(token_ids, instances, spec, special)
    counts["examples"] += len(instances)
    counts["tokens"] += int(lengths.sum())
    counts["unknown_tokens"] += int((ids[ordinary] == special["unk"]).sum())
    columns = {"input_type_ids": type_ids}
    if spec.next_sentence:
        counts["label_1"] += int(instances.label.sum())
        columns["next_sentence_labels"] = instances.label[:, np.newaxis]
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
    token_ids: np.ndarray, instances: Instances, spec: RecordSpec, special: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gathers the tokens of a batch.

    Returns:
        Ids, int32 `[n, S]`; type ids, uint8 `[n, S]`; whether a token is neither special nor padding, bool `[n, S]`;
        and the number of tokens, including special tokens, int64 `[n]`.
    """
    from pipeline.instances import kernels

    shape = (len(instances), spec.max_seq_length)
    ids, type_ids = np.full(shape, special["pad"], np.int32), np.zeros(shape, np.uint8)
    ordinary = np.zeros(shape, bool)
    ranges = (instances.a_start, instances.a_length, instances.b_start, instances.b_length)
    kernels.lay_out(token_ids, *ranges, spec.next_sentence, special["cls"], special["sep"], ids, type_ids, ordinary)
    return ids, type_ids, ordinary, _example_lengths(instances, spec)


def _example_lengths(instances: Instances, spec: RecordSpec) -> np.ndarray:
    """Returns the number of tokens of each example, including special tokens, int64 `[n]`."""
    lengths: np.ndarray = instances.a_length + instances.b_length + (3 if spec.next_sentence else 2)
    return lengths
