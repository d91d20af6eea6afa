from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pipeline.training.evaluation.pseudo_perplexity import PseudoLikelihood, score_sequences
from pipeline.training.evaluation.scores import TokenScores, build_scorer

SPECIAL = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}


def test_every_token_is_masked_in_turn(trained: Any) -> None:
    """Against the definition, a token at a time."""
    ids, types = np.array([2, 10, 1, 30, 3, 7, 3], np.int32), np.array([0, 0, 0, 0, 0, 1, 1], np.int32)
    expected = 0.0
    for position in (1, 2, 3, 5):
        masked = ids.copy()
        masked[position] = SPECIAL["mask"]
        inputs = {"input_word_ids": masked[None], "input_mask": np.ones((1, 7)), "input_type_ids": types[None]}
        outputs = trained.model({**inputs, "masked_lm_positions": np.array([[position]])}, training=False)
        logits = np.asarray(outputs["mlm_logits"], np.float64)[0, 0]
        expected += logits[ids[position]] - math.log(np.exp(logits).sum())
    found = score_sequences(build_scorer(trained.model), [(ids, types)], SPECIAL)
    assert (found.tokens, found.texts) == (4, 1)
    assert found.log_likelihood == pytest.approx(expected, rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(-expected / 4), rel=1e-5)


def test_copies_are_scored_in_parts_and_texts_until_it_is_enough() -> None:
    calls: list[tuple[int, int]] = []

    def score(batch: dict[str, np.ndarray], places: np.ndarray, labels: np.ndarray) -> Any:
        ids, mask = batch["input_word_ids"], batch["input_mask"]
        calls.append(ids.shape)
        assert mask.all()
        np.testing.assert_array_equal(ids[tuple(places.T)], 4)
        np.testing.assert_array_equal((ids == 4).sum(1), 1)
        return TokenScores(np.log(labels.astype(np.float32)), np.zeros(len(labels)), np.zeros((len(ids), 0)))

    long = (np.concatenate([[2], np.full(100, 8), [3]]).astype(np.int32), np.zeros(102, np.int32))
    empty = (np.array([2, 3], np.int32), np.zeros(2, np.int32))
    found = score_sequences(score, [empty, long, long, long], SPECIAL, max_tokens=101)
    assert calls == [(64, 102), (36, 102)] * 2
    assert (found.tokens, found.texts) == (200, 2)
    assert found.perplexity == pytest.approx(8.0, rel=1e-6)


def test_what_no_float_can_hold() -> None:
    assert PseudoLikelihood(-1e6, 10, 1).perplexity == math.inf
