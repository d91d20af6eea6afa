"""A model that training starts from, in any supported format."""

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
    """A model to start from. Its weights are read once, when they are first used.

    Attributes:
        path: its path, or the name of a hub model with its commit.
        config: the model's configuration.
        read_weights: reads the weights, by the names of its family.
        architecture: Hugging Face's model_type of the model, or of the one that its training started from; None if
            unknown.
        vocabulary: the bytes of its vocabulary or SentencePiece model; None if there is none.
        lower_case: whether its tokenizer lower-cases text; None if unknown.
        special: special tokens of a tokenizer.json by role, if a file next to it states them.
        load_model: loads the model of a run of this project; None for other models. The weights of a run are copied by
            their paths, for any encoder.
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
        """The Hugging Face family whose names the weights have.

        Raises:
            ConfigError: if the encoder of a run belongs to none.
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
        """Frees the memory of the weights and the model."""
        for name in ("weights", "model"):
            self.__dict__.pop(name, None)
