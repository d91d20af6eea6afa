"""Positions for longer sequences than a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.training.bert import PretrainerConfig
from pipeline.training.encoders import EncoderConfig, ModernBertEncoderConfig


def extends_positions(config: PretrainerConfig, source: PretrainerConfig) -> bool:
    """Whether a model has more positions than the one that it starts from, of the same kind."""
    kinds = {getattr(each.encoder, "positions", None) for each in (config, source)}
    new, old = config.encoder.max_position_embeddings, source.encoder.max_position_embeddings
    return len(kinds) == 1 and None not in kinds and new is not None and old is not None and new > old


_ROTARY = EncoderConfig, ModernBertEncoderConfig  # The encoders that can have them.


# === Learned positions ===


def longer_table(table: np.ndarray, length: int, how: str) -> np.ndarray:
    """A longer table of learned positions.

    Args:
        table: float `[positions, width]`.
        length: number of rows of the result.
        how: "repeat": the old table is the beginning, and is repeated behind (Beltagy et al., 2020, "Longformer",
            https://arxiv.org/abs/2004.05150): what is near keeps its distance, and short text its numbers.
            "interpolate": the first and the last row are those of the old table, and the others lie between its rows,
            evenly and linearly.

    Returns:
        `[length, width]`.
    """
    if how == "repeat":
        return table[np.arange(length) % len(table)]
    places = np.linspace(0.0, len(table) - 1.0, length)
    before = np.minimum(places.astype(np.int64), max(len(table) - 2, 0))
    share = (places - before)[:, None]
    after = np.minimum(before + 1, len(table) - 1)
    return ((1.0 - share) * table[before] + share * table[after]).astype(table.dtype)


def describe_positions(old: int, new: int, how: str) -> str:
    """What becomes of learned positions, in words."""
    if how == "repeat":
        return f"positions {old:,} to {new - 1:,} begin as copies of the first ones"
    return f"the {new:,} positions begin between the {old:,} that there were, by linear interpolation"


# === Rotary positions ===


def longer_theta(theta: float, factor: float, width: int) -> float:
    """The base of rotary angles for sequences that are `factor` times as long.

    `theta * factor ** (width / (width - 2))`: the slowest pair of a head turns as far over the new length as it did
    over the old one, the fastest as fast as before ("NTK-aware" scaling; Peng et al., 2023, "YaRN",
    https://arxiv.org/abs/2309.00071, section 3.1).

    Args:
        theta: the base so far.
        factor: at least 1.
        width: of a head, even.
    """
    return theta if width <= 2 else theta * factor ** (width / (width - 2))


def scaled_rotary(encoder: Any, length: Any) -> Mapping[str, float]:
    """The options of an encoder with rotary positions that follow from a larger `max_position_embeddings`.

    Blocks with local attention see no further than before, and keep their angles.

    Args:
        encoder: the configuration of the encoder as it is, of any kind.
        length: what is wanted; what is no larger number of positions changes nothing.
    """
    if not isinstance(encoder, _ROTARY) or encoder.positions != "rotary" or type(length) is not int:
        return {}
    if length <= (old := encoder.max_position_embeddings):
        return {}
    width = encoder.hidden_size // encoder.num_attention_heads
    return {"rotary_theta": float(f"{longer_theta(encoder.rotary_theta, length / old, width):.6g}")}


def describe_rotary(config: PretrainerConfig, source: PretrainerConfig) -> str:
    """What becomes of rotary positions, in words; "" where they are as they were, or others."""
    new, old = config.encoder, source.encoder
    if not (isinstance(new, _ROTARY) and isinstance(old, _ROTARY) and new.positions == "rotary"):
        return ""
    if not extends_positions(config, source):
        return ""
    where = " of blocks that attend to the whole sequence" * (new.local_attention is not None)
    return (
        f"{new.max_position_embeddings:,} positions instead of {old.max_position_embeddings:,}: the rotary theta{where}"
        f" is {new.rotary_theta:,.10g} instead of {old.rotary_theta:,.10g} (task.model.encoder.rotary_theta)"
    )
