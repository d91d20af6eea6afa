import numpy as np
import pytest

from oracles.wire import Part, assemble, constant, varints


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_varints_of_any_width_of_integer(dtype: type) -> None:
    part = varints(np.array([[0, 1, 127], [5, 100, 90]], dtype))
    assert assemble([part], 2)[0].tolist() == [0, 1, 127, 5, 100, 90]


def test_varint_bytes() -> None:
    # The example of protobuf's documentation.
    assert assemble([varints(np.array([300]))], 1)[0].tolist() == [0xAC, 0x02]


def test_messages_stand_one_behind_the_other() -> None:
    parts = [constant(b"ab"), varints(np.array([[1, 2**35 - 1], [200, 3]])), Part(np.array([[7], [8]], np.uint8))]
    data, row_splits = assemble(parts, 2)
    assert row_splits.tolist() == [0, 9, 15]
    assert data[:9].tobytes() == b"ab\x01\xff\xff\xff\xff\x7f\x07"
    assert data[9:].tobytes() == b"ab\xc8\x01\x03\x08"
