from __future__ import annotations

import numpy as np
import pytest

from pipeline.training.encoder_base import NORMS as OPTIONS
from pipeline.training.modeling.norms import NORMS, make_norm


def test_the_formulas() -> None:
    x = np.random.default_rng(0).normal(1.0, 2.0, (5, 6)).astype(np.float32)
    gamma, beta = np.linspace(0.5, 2, 6, dtype=np.float32), np.linspace(-1, 1, 6, dtype=np.float32)
    centred = x - x.mean(-1, keepdims=True)
    whole = make_norm("layer_norm", "a", epsilon=0.1)
    plain = make_norm("layer_norm", "b", epsilon=0.1, use_bias=False)
    root = make_norm("rms_norm", "c", epsilon=0.1)
    for norm, weights in ((whole, [gamma, beta]), (plain, [gamma]), (root, [gamma])):
        norm.build(x.shape)
        norm.set_weights(weights)
    expected = gamma * centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 0.1)
    np.testing.assert_allclose(whole(x), expected + beta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(root(x), gamma * x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.1), rtol=1e-5, atol=1e-6)


def test_the_kinds_are_those_of_the_options() -> None:
    assert NORMS == OPTIONS
    with pytest.raises(ValueError, match=r"must be one of layer_norm, rms_norm\. Received: 'batch_norm'"):
        make_norm("batch_norm", "a", epsilon=0.1)
