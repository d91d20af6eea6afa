"""Maps the weights of Hugging Face's files to variables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Slot:
    """A weight of a file and the variables that correspond to it.

    Attributes:
        name: its name in the file.
        variables: the model's variables; the file contains several concatenated along their last axis.
        transposed: whether the file contains it transposed: PyTorch stores the matrix of a dense layer as `[out, in]`,
            Keras as `[in, out]`.
    """

    name: str
    variables: tuple[Any, ...]
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the concatenated variables."""
        *first, _ = self.variables[0].shape
        return *first, sum(variable.shape[-1] for variable in self.variables)

    def read(self) -> np.ndarray:
        """Returns the weight in the file's layout, float32."""
        value = np.concatenate([np.asarray(variable, np.float32) for variable in self.variables], axis=-1)
        return np.ascontiguousarray(value.T) if self.transposed else value

    def as_ours(self, value: np.ndarray) -> np.ndarray:
        """Converts a weight of the file to the variables' layout; it matches if the result has `shape`."""
        return value.T if self.transposed else value

    def assign(self, value: np.ndarray) -> None:
        """Sets the variables to a weight of the file, whose shape must match."""
        start = 0
        for variable in self.variables:
            width = variable.shape[-1]
            variable.assign(self.as_ours(value)[..., start : start + width].astype(np.float32))
            start += width


def dense_slots(name: str, *layers: Any) -> Iterator[Slot]:
    """Yields the weights of a dense layer, with or without a bias, or of several that the file concatenates."""
    yield Slot(f"{name}.weight", tuple(layer.kernel for layer in layers), transposed=True)
    if layers[0].bias is not None:
        yield Slot(f"{name}.bias", tuple(layer.bias for layer in layers))


def norm_slots(name: str, layer: Any) -> Iterator[Slot]:
    """Yields the weights of a layer norm, with or without a bias."""
    yield Slot(f"{name}.weight", (layer.gamma,))
    if layer.beta is not None:
        yield Slot(f"{name}.bias", (layer.beta,))
