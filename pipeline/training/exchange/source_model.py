"""A model that training starts from, in whatever format it came."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange.families.base import Family
from pipeline.training.exchange.families.registry import family_of_encoder
from pipeline.training.finite import check_weights


@dataclass(frozen=True)
class SourceModel:
    """A model to start from: what it is, and its weights, which are read once, when they are asked for.

    Attributes:
        path: where it came from: a path, or the name of a model of the hub with its commit.
        config: the model's configuration.
        read_weights: reads the weights, by the names of its family.
        architecture: Hugging Face's model_type of what it is, or was trained from; None where nothing tells.
        vocabulary: the bytes of its vocabulary or SentencePiece model; None where there is none.
        lower_case: whether its tokenizer lower-cases; None where nothing tells.
        special: special tokens of a tokenizer.json by role, where something beside it states them.
        load_model: of a run of this project, loads its model. Weights are then copied by their paths, whatever its
            encoder is.
    """

    path: str
    config: PretrainerConfig
    read_weights: Callable[[], Mapping[str, np.ndarray]]
    architecture: str | None = None
    vocabulary: bytes | None = None
    lower_case: bool | None = None
    special: Mapping[str, str | int] = field(default_factory=dict)
    load_model: Callable[[], Any] | None = None

    @property
    def family(self) -> Family:
        """The family of Hugging Face's whose names the weights have.

        Raises:
            ConfigError: if the encoder, a run's, is of none.
        """
        return family_of_encoder(self.config.encoder, self.architecture)

    @functools.cached_property
    def weights(self) -> Mapping[str, np.ndarray]:
        """The weights, by the names of the family.

        Raises:
            InputError: if they cannot be read, or are NaN or infinite.
        """
        weights = self.read_weights()
        check_weights(weights, self.path)
        return weights

    @functools.cached_property
    def model(self) -> Any:
        """The model of a run of this project; None for any other.

        Raises:
            InputError: if it cannot be read, or its weights are NaN or infinite.
        """
        return self.load_model() if self.load_model is not None else None

    def forget(self) -> None:
        """Frees the memory of what was read."""
        for name in ("weights", "model"):
            self.__dict__.pop(name, None)
