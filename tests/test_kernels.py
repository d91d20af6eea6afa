"""Compiled loops against their forms in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import kernels
from pipeline.instances import examples
from pipeline.instances.instances import Instances
from pipeline.masking.selection import choose_tokens_in_numpy
from pipeline.records import RecordSpec
from pipeline.wire import Part, assemble, assemble_in_numpy, constant, varints


@given(
    seed=st.integers(0, 2**32),
    messages=st.integers(0, 20),
    widths=st.lists(st.tuples(st.integers(1, 9), st.sampled_from([1, 127, 128, 16_383, 16_384, 2**21, 2**35 - 1]))),
)
@settings(deadline=None, max_examples=200)
def test_assembled_messages(seed: int, messages: int, widths: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(seed)
    parts = [constant(b"head")]
    for width, largest in widths:
        parts += [varints(rng.integers(0, largest, (messages, width), endpoint=True)), constant(b"\x00")]
        parts.append(Part(rng.integers(0, 256, (messages, width), np.uint8)))

    data, row_splits = assemble(parts, messages)

    expected, expected_splits = assemble_in_numpy(parts, messages)
    np.testing.assert_array_equal(data, expected)
    np.testing.assert_array_equal(row_splits, expected_splits)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_varints_of_any_width_of_integer(dtype: type) -> None:
    part = varints(np.array([[0, 1, 127], [5, 100, 90]], dtype))
    assert assemble([part], 2)[0].tolist() == [0, 1, 127, 5, 100, 90]


def test_varint_bytes() -> None:
    assert assemble([varints(np.array([300]))], 1)[0].tolist() == [
        0xAC,
        0x02,
    ]  # The example of protobuf's documentation.


@given(seed=st.integers(0, 2**32), batch=st.integers(0, 10), seq_length=st.integers(1, 40), most=st.integers(0, 40))
@settings(deadline=None, max_examples=200)
def test_chosen_tokens(seed: int, batch: int, seq_length: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    maskable = rng.random((batch, seq_length)) < 0.8
    wanted = np.minimum(rng.integers(0, most, batch, endpoint=True), maskable.sum(axis=1))
    drawn = rng.random((batch, most))
    selected, expected = np.zeros_like(maskable), np.zeros_like(maskable)

    kernels.choose_tokens(maskable, wanted, drawn, selected)
    choose_tokens_in_numpy(maskable, wanted, drawn, expected)

    np.testing.assert_array_equal(selected, expected)
    np.testing.assert_array_equal(selected.sum(axis=1), wanted)
    assert not (selected & ~maskable).any()


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

    for column, expected in zip(made, examples._lay_out_in_numpy(token_ids, instances, spec, special), strict=True):
        np.testing.assert_array_equal(column, expected)
        assert column.dtype == expected.dtype
