"""The safetensors format: tensors in a file that holds nothing but numbers.

Eight bytes tell the length of a JSON header (little-endian); the header tells each tensor's type, shape and place in
the bytes after it (https://github.com/huggingface/safetensors). Too little to bring in a dependency for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline import files
from pipeline.errors import InputError

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
_BFLOAT16 = "BF16"
_MAX_HEADER = 100_000_000  # Bytes: the format's own limit.


def write_safetensors(path: str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes tensors, whole or not at all.

    Args:
        path: the file.
        tensors: arrays of any shape, float32.
        metadata: texts for the header; Hugging Face wants to find `{"format": "pt"}`.

    Raises:
        OutputError: if it cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + 4 * tensor.size]}
        offset += 4 * tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # So that the numbers are aligned.
    with files.write_file(path) as writer:
        writer.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            writer.write(np.ascontiguousarray(tensor, "<f4").tobytes())


def read_safetensors(path: str) -> dict[str, np.ndarray]:
    """Reads every tensor of a file; bfloat16 becomes float32, which holds all of its values.

    Raises:
        InputError: if the file cannot be read or is not in the format.
    """
    data = files.read(path)
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(_MAX_HEADER, len(data) - 8):
            raise ValueError("the header is cut short")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        body = memoryview(data)[8 + length :]
        return {name: _tensor(body, **entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} must be a safetensors file", received=f"{type(error).__name__}: {error}", do="Copy it again"
        ) from error


def _tensor(body: memoryview, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    begin, end = data_offsets
    stored = "<u2" if dtype == _BFLOAT16 else _DTYPES[dtype]
    if not 0 <= begin <= end <= len(body) or end - begin != math.prod(shape) * np.dtype(stored).itemsize:
        raise ValueError(f"a tensor of shape {shape} cannot lie at bytes {begin} to {end} of {len(body)}")
    values = np.frombuffer(body[begin:end], stored).reshape(shape)
    if dtype == _BFLOAT16:  # The upper half of a float32.
        return (values.astype("<u4") << 16).view("<f4")
    return values
