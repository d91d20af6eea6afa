"""The probe of bench/quality/probe.py."""

from __future__ import annotations

import numpy as np

from bench.quality.probe import accuracy, passages


def test_a_linear_layer_finds_what_is_there_and_nothing_else() -> None:
    draw = np.random.default_rng(0)
    noise = draw.normal(size=(2, 3, 200, 8)).astype(np.float32)
    told = noise.copy()
    told[:, [0, 1, 2], :, [0, 1, 2]] += 4.0  # Each class has a number of its own.
    assert accuracy(told[0], told[1], count=100, seed=0) > 0.95
    assert accuracy(noise[0], noise[1], count=100, seed=0) < 0.45


def test_no_passage_is_in_both_parts() -> None:
    train, test = (set(passages("keras", part, 200)) for part in ("train", "test"))
    assert len(train) == len(test) == 200
    assert len(train & test) < 10, "some docstrings are copied from module to module"
