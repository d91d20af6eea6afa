"""Reads and writes safetensors files, including bfloat16."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from pipeline import files
from pipeline.errors import InputError


def write_safetensors(path: str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes tensors atomically.

    Args:
        path: the file.
        tensors: arrays of any shape, written as float32.
        metadata: strings for the header; Hugging Face requires `{"format": "pt"}`.

    Raises:
        OutputError: if it cannot be written.
    """
    arrays = {name: np.ascontiguousarray(tensor, "<f4").reshape(tensor.shape) for name, tensor in tensors.items()}
    files.write_atomically(path, safetensors.numpy.save(arrays, dict(metadata)))


def read_safetensors(path: str) -> dict[str, np.ndarray]:
    """Reads every tensor of a file; bfloat16, which numpy lacks, becomes float32 without loss.

    Raises:
        InputError: if the file cannot be read or is not in the format.
    """
    data = files.read(path)
    try:
        return {name: _array(**entry) for name, entry in safetensors.deserialize(data)}
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a valid safetensors file", received=f"{type(error).__name__}: {error}", do="Copy it again"
        ) from error


def tensor_names(path: str) -> list[str]:
    """Returns the names of a local file's tensors, from its header.

    Raises:
        InputError: if the file cannot be read or is not in the format.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return list(file.keys())
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a valid safetensors file", received=f"{type(error).__name__}: {error}", do="Copy it again"
        ) from error


def _array(dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    if dtype == "BF16":  # The upper half of a float32.
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    stored = "?" if dtype == "BOOL" else f"<{dtype[0].lower()}{int(dtype[1:]) // 8}"
    return np.frombuffer(data, stored).reshape(shape)
