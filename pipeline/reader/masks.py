"""Masks that are drawn when examples are read: anew in every epoch, from one copy of a corpus.

Liu et al., 2019, "RoBERTa". The masks are those of `pipeline.masking`. What is drawn for an example follows from the
seed, the epoch and the example's place in the corpus: it is the same with any number of workers, in any order, and
after a restart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.compiling import MASKING_LOOPS, compile_loops
from pipeline.manifest import Manifest
from pipeline.masking import MaskingPolicy, mask_examples
from pipeline.reader.source import RecordSource


class ReadingMasks:
    """Masks batches of unmasked examples.

    Args:
        policy: the rates and the unit.
        special_ids: ids of the special tokens, by "pad", "cls", "sep", "mask".
        ordinary_ids: the ids that a random replacement may be.
        seed: the seed of all masks.
    """

    def __init__(
        self, policy: MaskingPolicy, special_ids: Mapping[str, int], ordinary_ids: Sequence[int] | np.ndarray, seed: int
    ) -> None:
        self.policy = policy
        self._special_ids = special_ids
        self._ordinary_ids = np.asarray(ordinary_ids, np.int32)
        self._seed = np.uint64(seed % 2**64)
        compile_loops(MASKING_LOOPS)

    @property
    def pad_id(self) -> int:
        """Id of the padding."""
        return self._special_ids["pad"]

    def draw(
        self,
        batch: Mapping[str, np.ndarray],
        examples: np.ndarray,
        epochs: np.ndarray,
        masked_lm_prob: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Masks a batch.

        Args:
            batch: int32 `[batch, S]` arrays `input_word_ids`, `input_type_ids` and `word_starts`, and whatever else.
            examples: uint64 `[batch]`, the examples' numbers in the corpus.
            epochs: int64 `[batch]`, which time each example is read.
            masked_lm_prob: the share of tokens to predict; None for the policy's.

        Returns:
            The batch with `word_starts` replaced by `input_mask`, `masked_lm_positions`, `masked_lm_ids` and
            `masked_lm_weights`.
        """
        from pipeline.masking.kernels import keys_of_readings

        ids = np.ascontiguousarray(batch["input_word_ids"])
        masked = mask_examples(
            ids,
            np.ascontiguousarray(batch["word_starts"]),
            keys_of_readings(examples, epochs, self._seed),
            policy=self.policy,
            special_ids=self._special_ids,
            ordinary_ids=self._ordinary_ids,
            masked_lm_prob=masked_lm_prob,
        )
        return {name: column for name, column in batch.items() if name != "word_starts"} | {
            "input_word_ids": masked.input_word_ids,
            "input_mask": (ids != self.pad_id).astype(np.int32),
            "masked_lm_positions": masked.positions,
            "masked_lm_ids": masked.ids,
            "masked_lm_weights": masked.weights,
        }


def masks_of(source: RecordSource, seed: int, rooms: Sequence[int] | None = None) -> list[ReadingMasks] | None:
    """Returns what masks the examples of each bin, by the policy that the corpus was made for.

    Args:
        source: the records.
        seed: the seed of all masks.
        rooms: room for predictions in the examples of each bin; by default, the corpus's.

    Returns:
        None if the records hold their masks.
    """
    from pipeline.tokenizers import load_tokenizer

    manifest = source.manifest
    if source.spec.masked or manifest is None:
        return None
    policy = corpus_policy(manifest)
    tokenizer = load_tokenizer(manifest.tokenizer, source.directory)
    rooms = rooms or [group.spec.max_predictions_per_seq for group in source.bins]
    policies = [dataclasses.replace(policy, max_predictions_per_seq=room) for room in rooms]
    return [ReadingMasks(item, tokenizer.special_ids, tokenizer.ordinary_ids, seed) for item in policies]


def corpus_policy(manifest: Manifest) -> MaskingPolicy:
    """Returns the masking that a corpus was made for, by its manifest's options."""
    options: Mapping[str, Any] = manifest.options
    return MaskingPolicy(
        max_predictions_per_seq=manifest.spec.max_predictions_per_seq,
        masked_lm_prob=options["masked_lm_prob"],
        unit=options["masking_unit"],
        max_ngram_size=options["max_ngram_size"],
        mask_prob=options["mask_prob"],
        random_prob=options["random_prob"],
    )
