"""The compiled loop against its form in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.examples import lay_out

from pipeline.instances import examples
from pipeline.instances.instances import Instances
from pipeline.records.spec import RecordSpec


@pytest.mark.parametrize("pairs", [True, False])
@given(seed=st.integers(0, 2**32), number=st.integers(0, 12))
@settings(deadline=None, max_examples=100)
def test_layout(pairs: bool, seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    special = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    token_ids = rng.integers(3, 60, 100, np.int32)  # Separators among them, as packed documents have.
    if pairs:
        token_ids = np.maximum(token_ids, 5)
    spec = RecordSpec(32, 4, next_sentence=pairs)
    a_length = rng.integers(1, 15, number)
    b_length = rng.integers(1, 15, number) if pairs else np.zeros(number, np.int64)
    instances = Instances(
        rng.integers(0, 80, number), a_length, rng.integers(0, 80, number), b_length, np.zeros(number, np.int64)
    )

    made = examples._lay_out(token_ids, instances, spec, special)

    for column, expected in zip(made, lay_out(token_ids, instances, spec, special), strict=True):
        np.testing.assert_array_equal(column, expected)
        assert column.dtype == expected.dtype
