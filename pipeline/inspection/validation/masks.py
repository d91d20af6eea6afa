"""Checks of masks. Each is a numpy pass over a batch, as in `pipeline.inspection.validation.structure`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.inspection.examples import Examples
from pipeline.inspection.validation.structure import Check, any_in_row
from pipeline.inspection.validation.vocabulary import VocabularyFacts
from pipeline.masking import MaskingPolicy, prediction_counts


def check_predictions(columns: Mapping[str, np.ndarray]) -> Iterator[Check]:
    """Checks how the predictions of a batch are stored."""
    positions, ids, weights = (columns[f"masked_lm_{name}"] for name in ("positions", "ids", "weights"))
    real = weights > 0
    yield "masked_lm_weights must be ones, then zeros", any_in_row(real[:, 1:] & ~real[:, :-1])
    padding = ~real & ((positions != 0) | (ids != 0))
    yield "masked_lm_positions and masked_lm_ids must be 0 where the weight is 0", any_in_row(padding)
    ascending = positions[:, 1:] > positions[:, :-1]
    yield "masked_lm_positions must ascend strictly", any_in_row(real[:, 1:] & ~ascending)


def check_masks(examples: Examples, vocabulary: VocabularyFacts, policy: MaskingPolicy) -> Iterator[Check]:
    """Checks the predicted tokens and their replacements, in examples whose structure and predictions are valid."""
    ids, stored, predicted = examples.ids, examples.stored_ids, examples.predicted
    yield "a special token must not be predicted", any_in_row(predicted & ~examples.ordinary)
    # A random replacement that differs from the original must be an allowed one.
    at_random = predicted & (stored != vocabulary.special_ids["mask"]) & (stored != ids)
    wrong = any_in_row(at_random & ~vocabulary.is_ordinary[stored])
    yield "a random token must be neither special nor unused", wrong

    wanted = np.minimum(prediction_counts(examples.lengths, policy), examples.ordinary.sum(axis=1))
    missing = wanted - predicted.sum(axis=1)
    number = "the number of predictions must be min(P, max(1, round(n * masked_lm_prob)))"
    if policy.unit == "token":
        yield number, missing != 0
        return
    yield f"{number} or fewer", missing < 0
    if vocabulary.known:
        begins = _word_begins(examples, vocabulary)
        split = predicted[:, 1:] != predicted[:, :-1]
        goes_on = examples.ordinary[:, 1:] & ~begins[:, 1:]
        yield "a word must be predicted whole or not at all", any_in_row(split & goes_on)
        shorter = _shortest_word_left(examples, begins) <= missing
        yield f"{number}, and fewer only if no remaining word fits", (missing > 0) & shorter


def _word_begins(examples: Examples, vocabulary: VocabularyFacts) -> np.ndarray:
    """Returns whether each token begins a word, as it always does after a special token: bool `[batch, S]`."""
    before = np.zeros_like(examples.ordinary)
    before[:, 1:] = examples.ordinary[:, :-1]
    begins: np.ndarray = examples.ordinary & (vocabulary.word_boundaries.find(examples.ids) | ~before)
    return begins


def _shortest_word_left(examples: Examples, begins: np.ndarray) -> np.ndarray:
    """Returns the length in tokens of the shortest word not predicted: int64 `[batch]`; S + 1 if there is none."""
    rows, places = np.nonzero(begins)
    word_of = np.cumsum(begins)[examples.ordinary.ravel()] - 1
    tokens = np.bincount(word_of, minlength=len(rows))
    left = ~examples.predicted[rows, places]
    shortest = np.full(len(begins), begins.shape[1] + 1)
    np.minimum.at(shortest, rows[left], tokens[left])
    return shortest
