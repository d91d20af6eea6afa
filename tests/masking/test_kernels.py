"""The compiled loop against its form in numpy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.masking import choose_tokens

from pipeline.masking import kernels


@given(seed=st.integers(0, 2**32), batch=st.integers(0, 10), seq_length=st.integers(1, 40), most=st.integers(0, 40))
@settings(deadline=None, max_examples=200)
def test_chosen_tokens(seed: int, batch: int, seq_length: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    maskable = rng.random((batch, seq_length)) < 0.8
    wanted = np.minimum(rng.integers(0, most, batch, endpoint=True), maskable.sum(axis=1))
    drawn = rng.random((batch, most))
    selected, expected = np.zeros_like(maskable), np.zeros_like(maskable)

    kernels.choose_tokens(maskable, wanted, drawn, selected)
    choose_tokens(maskable, wanted, drawn, expected)

    np.testing.assert_array_equal(selected, expected)
    np.testing.assert_array_equal(selected.sum(axis=1), wanted)
    assert not (selected & ~maskable).any()
