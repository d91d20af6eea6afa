from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.training.modeling.masked_lm import MaskedLM


@pytest.fixture
def table() -> keras.Variable:
    return keras.Variable(np.random.default_rng(0).normal(size=(11, 6)).astype(np.float32))


def make_head(table: keras.Variable, output: str = "logits") -> MaskedLM:
    head = MaskedLM(table, activation="relu", output=output, name="cls/predictions")
    head.build((None, None, 4))
    rng = np.random.default_rng(1)
    for weight in head.weights:
        weight.assign(rng.normal(size=weight.shape).astype(np.float32))
    return head


def test_logits_follow_the_formula(table: keras.Variable) -> None:
    head = make_head(table)
    rng = np.random.default_rng(2)
    sequence = rng.normal(size=(3, 5, 4)).astype(np.float32)
    positions = np.array([[0, 4], [2, 2], [3, 0]])
    logits = np.asarray(head(sequence, masked_positions=positions))
    kernel, bias = (np.asarray(w.value) for w in head.dense.weights)
    gamma, beta = (np.asarray(w.value) for w in head.layer_norm.weights)
    for row in range(3):
        for column in range(2):
            x = np.maximum(sequence[row, positions[row, column]] @ kernel + bias, 0)
            x = (x - x.mean()) / np.sqrt(x.var() + 1e-12) * gamma + beta
            expected = np.asarray(table) @ x + np.asarray(head.bias)
            np.testing.assert_allclose(logits[row, column], expected, rtol=1e-4, atol=1e-4)


def test_predictions_are_log_probabilities(table: keras.Variable) -> None:
    head = make_head(table, output="predictions")
    sequence = np.ones((2, 3, 4), np.float32)
    scores = np.asarray(head(sequence, masked_positions=np.array([[1], [2]])))
    np.testing.assert_allclose(np.exp(scores).sum(-1), 1.0, rtol=1e-5)


def test_gather_indexes(table: keras.Variable) -> None:
    sequence = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    gathered = make_head(table)._gather_indexes(sequence, np.array([[2, 0], [1, 1]]))
    np.testing.assert_array_equal(gathered, sequence[[0, 0, 1, 1], [2, 0, 1, 1]])


def test_the_table_is_shared_and_not_owned(table: keras.Variable) -> None:
    head = make_head(table)
    assert head.embedding_table is table
    assert all(weight is not table for weight in head.weights)
    before = np.asarray(head.score(np.ones((1, 4), np.float32)))
    table.assign(np.asarray(table) * 2)
    after = np.asarray(head.score(np.ones((1, 4), np.float32)))
    bias = np.asarray(head.bias)
    np.testing.assert_allclose(after - bias, 2 * (before - bias), rtol=1e-5, atol=1e-5)


def test_unknown_output_is_refused(table: keras.Variable) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        MaskedLM(table, output="probabilities")
