"""Learned positions for longer sequences than a model was trained on."""

from __future__ import annotations

import numpy as np

from pipeline.training.bert import PretrainerConfig
from pipeline.training.encoders import EncoderConfig


def extends_positions(config: PretrainerConfig, source: PretrainerConfig) -> bool:
    """Whether a model has more learned positions than the one that it starts from, of the same kind."""
    new, old = config.encoder, source.encoder
    if not (isinstance(new, EncoderConfig) and isinstance(old, EncoderConfig)):
        return False
    learned = new.positions == old.positions == "learned"
    return learned and new.max_position_embeddings > old.max_position_embeddings


def longer_table(table: np.ndarray, length: int) -> np.ndarray:
    """A table of positions of which the old one is the beginning, and is repeated behind (Beltagy et al., 2020,
    "Longformer", https://arxiv.org/abs/2004.05150): what is near keeps its distance, and short text its numbers.

    Args:
        table: float `[positions, width]`.
        length: number of rows of the result.
    """
    return table[np.arange(length) % len(table)]


def describe_positions(old: int, new: int) -> str:
    """What becomes of the positions, in words."""
    return f"positions {old:,} to {new - 1:,} begin as copies of the first ones"
