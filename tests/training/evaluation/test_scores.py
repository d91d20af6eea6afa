from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.training.evaluation.scores import build_scorer


def test_scores_are_those_of_the_models_logits(trained: Any, batch: Any) -> None:
    outputs = trained.model(batch, training=False)
    logits = np.asarray(outputs["mlm_logits"], np.float64)
    labels = np.random.default_rng(1).integers(50, size=(4, 5)).astype(np.int32)
    places = [(row, batch["masked_lm_positions"][row, column]) for row in range(4) for column in range(5)]
    scores = build_scorer(trained.model)(batch, np.array(places, np.int32), labels.ravel())
    right = np.take_along_axis(logits, labels[..., None], axis=2)
    expected = np.log(np.exp(logits).sum(-1)) - right[..., 0]
    np.testing.assert_allclose(scores.losses, expected.ravel(), atol=1e-4)
    np.testing.assert_array_equal(scores.ranks, (logits > right).sum(-1).ravel())
    np.testing.assert_allclose(scores.heads["next_sentence"], outputs["next_sentence"], atol=1e-5)


def test_without_a_next_sentence_head(make_trained: Any, batch: Any) -> None:
    score = build_scorer(make_trained(next_sentence=False).model)
    scores = score(batch, np.array([[0, 3]], np.int32), np.array([7], np.int32))
    assert scores.heads == {}
    assert scores.losses.shape == (1,)
