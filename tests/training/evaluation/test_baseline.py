from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import read_in_order
from pipeline.training.data.source import open_source
from pipeline.training.evaluation.baseline import count_predictions, unigram_cross_entropy


def read(corpus: Any, *, training: bool) -> Any:
    config = DataConfig(input_path=str(corpus.directory), is_training=training, global_batch_size=16)
    return read_in_order([open_source(config)], config)


def predictions(columns: dict[str, np.ndarray]) -> list[int]:
    return columns["masked_lm_ids"][columns["masked_lm_weights"] > 0].tolist()


def test_cross_entropy_by_hand(tiny_corpus: Any) -> None:
    train, validation = read(tiny_corpus, training=True), read(tiny_corpus, training=False)
    counts = Counter(predictions(tiny_corpus.split("train")))
    total = sum(counts.values())
    truth = predictions(tiny_corpus.split("validation"))
    expected = -np.mean([np.log((counts[token] + 1) / (total + 50)) for token in truth])
    assert unigram_cross_entropy(train, validation, 50) == pytest.approx(expected, rel=1e-9)


def test_padding_is_not_counted(tiny_corpus: Any) -> None:
    counts = count_predictions(read(tiny_corpus, training=True), 50)
    assert counts[0] == 0
    assert counts.sum() == len(predictions(tiny_corpus.split("train")))
