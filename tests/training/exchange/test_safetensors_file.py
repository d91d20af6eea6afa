from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.training.exchange.safetensors_file import read_safetensors, write_safetensors


def write_raw(path: Path, header: Any, body: bytes = b"") -> str:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return str(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    tensors = {
        "b": draw.normal(size=(3, 4)).astype(np.float32).T,  # Not contiguous.
        "a.scalar": np.float32(2.5).reshape(()),
        "none": np.zeros((0, 7), np.float32),
    }
    path = str(tmp_path / "x.safetensors")
    write_safetensors(path, tensors, {"format": "pt"})
    read = read_safetensors(path)
    assert sorted(read) == sorted(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor)
        assert read[name].dtype == np.float32
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    assert json.loads(data[8 : 8 + length])["__metadata__"] == {"format": "pt"}


def test_other_types_are_read(tmp_path: Path) -> None:
    """bfloat16 by hand: the upper halves of 1, -2.5 and 2**100."""
    body = np.array([0x3F80, 0xC020, 0x7180], "<u2").tobytes() + np.array([1.5], "<f2").tobytes()
    header = {
        "brain": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]},
        "half": {"dtype": "F16", "shape": [1], "data_offsets": [6, 8]},
    }
    read = read_safetensors(write_raw(tmp_path / "x", header, body))
    assert read["brain"].tolist() == [1.0, -2.5, 2.0**100]
    assert read["half"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"),
        ({"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        ({"a": {"dtype": "F32"}}, b"1234"),
        ([1, 2], b""),
    ],
)
def test_damage_is_refused(tmp_path: Path, header: Any, body: bytes) -> None:
    with pytest.raises(InputError, match="is not a valid safetensors file"):
        read_safetensors(write_raw(tmp_path / "x", header, body))


@pytest.mark.parametrize("data", [b"", b"1234", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"{"])
def test_a_header_cut_short_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InputError, match="is not a valid safetensors file"):
        read_safetensors(str(tmp_path / "x"))
