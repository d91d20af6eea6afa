from __future__ import annotations

import numpy as np
import pytest

from pipeline.training.modeling.classification_head import ClassificationHead


def test_scores_follow_the_formula() -> None:
    head = ClassificationHead(inner_dim=5, num_classes=3, cls_token_idx=2, dropout_rate=0.5)
    features = np.random.default_rng(0).normal(size=(4, 6, 7)).astype(np.float32)
    scores = np.asarray(head(features))
    kernel, bias = (np.asarray(w.value) for w in head.dense.weights)
    out_kernel, out_bias = (np.asarray(w.value) for w in head.out_proj.weights)
    pooled = np.tanh(features[:, 2] @ kernel + bias)
    np.testing.assert_allclose(scores, pooled @ out_kernel + out_bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(head(features, only_project=True), pooled, rtol=1e-4, atol=1e-5)


def test_without_pooling_layer() -> None:
    head = ClassificationHead(inner_dim=0, num_classes=2)
    features = np.ones((3, 4), np.float32)
    kernel, bias = (np.asarray(w.value) for w in (head(features), head.out_proj)[1].weights)
    np.testing.assert_allclose(head(features), features @ kernel + bias, rtol=1e-5)


def test_dropout_in_training_alone() -> None:
    head = ClassificationHead(inner_dim=50, num_classes=2, dropout_rate=0.5)
    features = np.ones((1, 1, 8), np.float32)
    assert np.asarray(head(features)) == pytest.approx(np.asarray(head(features)))
    first, second = (np.asarray(head(features, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0


def test_config_round_trip() -> None:
    head = ClassificationHead(5, 3, 2, "gelu", 0.25, name="topic")
    again = ClassificationHead.from_config(head.get_config())
    assert again.get_config() == head.get_config()
    assert again.name == "topic"
    assert again.activation is head.activation
