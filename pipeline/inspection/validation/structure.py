"""Checks of the layout of examples. Each is a numpy pass over a batch.

A check is a message, and whether each example of the batch fails it, bool `[batch]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np

from pipeline.inspection.examples import Examples
from pipeline.inspection.validation.vocabulary import VocabularyFacts
from pipeline.records.spec import RecordSpec

Check: TypeAlias = tuple[str, np.ndarray]


def check_ranges(columns: Mapping[str, np.ndarray], spec: RecordSpec, vocab_size: int) -> Iterator[Check]:
    """Checks that values are in range, which all other checks assume."""
    limits = {
        "input_word_ids": vocab_size,
        "masked_lm_ids": vocab_size,
        "masked_lm_positions": spec.max_seq_length,
        "next_sentence_positions": spec.max_seq_length,
        "input_sequence_ids": spec.max_sequences_per_row + 1,
    }
    for name, values in columns.items():
        if values.dtype == np.float32:
            yield f"{name} must be 0.0 or 1.0", any_in_row((values != 0) & (values != 1))
        else:
            limit = limits.get(name, 2)
            yield f"{name} must be in [0, {limit})", any_in_row((values < 0) | (values >= limit))


def any_in_row(wrong: np.ndarray) -> np.ndarray:
    """Whether any value of an example is wrong: bool `[batch]`, from bool `[batch, length]`."""
    return np.asarray(wrong.any(axis=1))


def check_structure(
    columns: Mapping[str, np.ndarray],
    examples: Examples,
    spec: RecordSpec,
    vocabulary: VocabularyFacts,
    *,
    joined: bool,
    longer_than: int,
) -> Iterator[Check]:
    """Checks the structure of masked or unmasked examples, with the original tokens before masking.

    Args:
        columns: a batch, all values in range.
        examples: the same batch.
        spec: its shape.
        vocabulary: the facts about the corpus's vocabulary.
        joined: whether [SEP] separates documents within a segment.
        longer_than: the length of the next shorter bin, to which shorter sequences belong; 0 if there is none.
    """
    special = vocabulary.special_ids
    ids, begins, real = examples.ids, examples.begins, examples.real
    if "input_mask" in columns:
        yield "input_mask must be ones, then zeros", any_in_row((columns["input_mask"] == 1) != real)
    padding = ids == special["pad"]
    yield "[PAD] must follow the last token, and be nowhere else", any_in_row(padding == real)
    yield "[CLS] must be first, and nowhere else", any_in_row((ids == special["cls"]) != begins)
    yield "[MASK] must be at predictions only", any_in_row(ids == special["mask"])
    in_shorter_bin = np.bincount(examples.rows[examples.sums(real) <= longer_than], minlength=len(examples)) > 0
    yield f"an example of up to {longer_than} tokens belongs to a shorter bin", in_shorter_bin

    is_sep = (ids == special["sep"]) & real
    last = real.copy()
    last[:, :-1] &= begins[:, 1:] | ~real[:, 1:]
    yield "[SEP] must be last", any_in_row(last & ~is_sep)
    # There is always text before the first separator, and between two.
    empty = any_in_row(is_sep[:, 1:] & (is_sep[:, :-1] | begins[:, :-1]))
    yield "a segment must contain a token", empty
    before = np.cumsum(is_sep, axis=1) - is_sep
    separators_before = before - np.take_along_axis(before, examples.begin_at, axis=1)
    type_ids = columns["input_type_ids"]
    if spec.next_sentence:
        not_two = any_in_row(last & (separators_before + is_sep != 2))
        yield "there must be two [SEP]", not_two
        wrong = any_in_row((type_ids == 1) != ((separators_before > 0) & real)) & ~not_two
        yield "input_type_ids must be 1 after the first [SEP] up to the second, otherwise 0", wrong
    else:
        if not joined:
            yield "there must be one [SEP]", any_in_row(last & (separators_before + is_sep != 1))
        yield "input_type_ids must be 0", any_in_row(type_ids != 0)
    if "word_starts" in columns:
        stored = columns["word_starts"] == 1
        yield "word_starts must be 0 at special tokens and padding", any_in_row(stored & ~examples.ordinary)
        if vocabulary.known:
            starts = vocabulary.word_boundaries.find(ids) & examples.ordinary
            yield "word_starts must be 1 where a word begins, otherwise 0", any_in_row(starts != stored)
    if spec.packed:
        yield from _check_sequences(columns, examples)


def _check_sequences(columns: Mapping[str, np.ndarray], examples: Examples) -> Iterator[Check]:
    """Checks what packed rows say of their sequences."""
    sequence_ids = columns["input_sequence_ids"]
    yield "input_sequence_ids must be 0 at padding, and nowhere else", any_in_row((sequence_ids > 0) != examples.real)
    numbers = np.cumsum(examples.begins, axis=1)
    wrong = (sequence_ids != numbers) & (sequence_ids > 0)
    yield "input_sequence_ids must be 1, 2, ... in their order", any_in_row(wrong)
    if examples.labels is None:
        return
    is_there = np.arange(examples.labels.shape[1]) < numbers[:, -1:]
    positions = np.zeros_like(examples.labels)
    positions[is_there] = np.nonzero(examples.begins & (numbers <= positions.shape[1]))[1]
    wrong = columns["next_sentence_positions"] != positions
    yield "next_sentence_positions must be where the sequences begin, then 0", any_in_row(wrong)
    wrong = columns["next_sentence_weights"] != is_there
    yield "next_sentence_weights must be 1.0 for each sequence, then 0.0", any_in_row(wrong)
    yield "next_sentence_labels must be 0 after the last sequence", any_in_row((examples.labels != 0) & ~is_there)
