"""A model that training starts from, in whatever format it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.training.bert import PretrainerConfig


@dataclass(frozen=True)
class SourceModel:
    """What was read of another project's model.

    Attributes:
        path: where it came from.
        config: the model's configuration.
        weights: by the names of Hugging Face's `BertForPreTraining`.
        vocabulary: the bytes of its vocabulary or SentencePiece model; None where there is none.
        lower_case: whether its tokenizer lower-cases; None where nothing tells.
    """

    path: str
    config: PretrainerConfig
    weights: Mapping[str, np.ndarray]
    vocabulary: bytes | None = None
    lower_case: bool | None = None
