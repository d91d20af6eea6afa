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
    packed: bool,
    longer_than: int,
) -> Iterator[Check]:
    """Checks the structure of masked or unmasked examples, with the original tokens before masking.

    Args:
        columns: a batch, all values in range.
        examples: the same batch.
        spec: its shape.
        vocabulary: the facts about the corpus's vocabulary.
        packed: whether [SEP] separates documents within a segment.
        longer_than: the length of the next shorter bin, to which shorter examples belong; 0 if there is none.
    """
    special = vocabulary.special_ids
    ids, lengths = examples.ids, examples.lengths[:, np.newaxis]
    place = np.arange(spec.max_seq_length)
    real = place < lengths
    if "input_mask" in columns:
        yield "input_mask must be ones, then zeros", any_in_row((columns["input_mask"] == 1) != real)
    padding = ids == special["pad"]
    yield "[PAD] must follow the last token, and be nowhere else", any_in_row(padding == real)
    yield "[CLS] must be first, and nowhere else", any_in_row((ids == special["cls"]) != (place == 0))
    yield "[MASK] must be at predictions only", any_in_row(ids == special["mask"])
    yield f"an example of up to {longer_than} tokens belongs to a shorter bin", examples.lengths <= longer_than

    is_sep = ids == special["sep"]
    last = np.maximum(lengths - 1, 0)
    yield "[SEP] must be last", ~np.take_along_axis(is_sep, last, axis=1)[:, 0]
    separators = is_sep.sum(axis=1)
    # There is always text before the first separator, and between two.
    empty = any_in_row(is_sep[:, 1:] & (is_sep[:, :-1] | (place[1:] == 1)))
    yield "a segment must hold a token", empty
    type_ids = columns["input_type_ids"]
    if spec.next_sentence:
        yield "there must be two [SEP]", separators != 2
        behind_first = np.cumsum(is_sep, axis=1) - is_sep > 0
        wrong = any_in_row((type_ids == 1) != (behind_first & real)) & (separators == 2)
        yield "input_type_ids must be 1 after the first [SEP] up to the second, otherwise 0", wrong
    else:
        if not packed:
            yield "there must be one [SEP]", separators != 1
        yield "input_type_ids must be 0", any_in_row(type_ids != 0)
    if "word_starts" in columns:
        stored = columns["word_starts"] == 1
        yield "word_starts must be 0 at special tokens and padding", any_in_row(stored & ~examples.ordinary)
        if vocabulary.known:
            starts = vocabulary.word_boundaries.find(ids) & examples.ordinary
            yield "word_starts must be 1 where a word begins, otherwise 0", any_in_row(starts != stored)
