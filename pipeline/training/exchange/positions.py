"""Extends a model's positions to longer sequences than it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.training.bert import PretrainerConfig
from pipeline.training.encoders import EncoderConfig, ModernBertEncoderConfig


def extends_positions(config: PretrainerConfig, source: PretrainerConfig) -> bool:
    """Returns whether a model has more positions, of the same kind, than the one that it starts from."""
    kinds = {getattr(each.encoder, "positions", None) for each in (config, source)}
    new, old = config.encoder.max_position_embeddings, source.encoder.max_position_embeddings
    return len(kinds) == 1 and None not in kinds and new is not None and old is not None and new > old


_ROTARY = EncoderConfig, ModernBertEncoderConfig  # The encoders that can have them.


# === Learned positions ===


def longer_table(table: np.ndarray, length: int, how: str) -> np.ndarray:
    """Makes a table of learned positions longer.

    Args:
        table: float `[positions, width]`.
        length: number of rows of the result.
        how: "repeat": the old table is repeated (Beltagy et al., 2020, "Longformer", https://arxiv.org/abs/2004.05150),
            so that nearby tokens keep their relative positions and short text gives the same output. "interpolate":
            the first and the last row are kept, and the rows between are interpolated linearly.

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
    """Describes how learned positions were extended."""
    if how == "repeat":
        return f"positions {old:,} to {new - 1:,} begin as copies of the first ones"
    return f"the {new:,} positions begin as linear interpolations of the {old:,} old ones"


# === Rotary positions ===


def longer_theta(theta: float, factor: float, width: int) -> float:
    """Returns the base of rotary angles for sequences that are `factor` times as long.

    `theta * factor ** (width / (width - 2))`: the slowest pair of a head turns as far over the new length as it did
    over the old one, and the fastest pair keeps its speed ("NTK-aware" scaling; Peng et al., 2023, "YaRN",
    https://arxiv.org/abs/2309.00071, section 3.1).

    Args:
        theta: the old base.
        factor: at least 1.
        width: the width of a head, even.
    """
    return theta if width <= 2 else theta * factor ** (width / (width - 2))


def scaled_rotary(encoder: Any, length: Any) -> Mapping[str, float]:
    """Returns the options that a larger `max_position_embeddings` changes in an encoder with rotary positions.

    Blocks with local attention see no further than before, and keep their angles.

    Args:
        encoder: the configuration of the original encoder, of any kind.
        length: the new `max_position_embeddings`; anything but a larger integer changes nothing.
    """
    if not isinstance(encoder, _ROTARY) or encoder.positions != "rotary" or type(length) is not int:
        return {}
    if length <= (old := encoder.max_position_embeddings):
        return {}
    width = encoder.hidden_size // encoder.num_attention_heads
    return {"rotary_theta": float(f"{longer_theta(encoder.rotary_theta, length / old, width):.6g}")}


def describe_rotary(config: PretrainerConfig, source: PretrainerConfig) -> str:
    """Describes how rotary positions were extended; "" if they were not, or the model has none."""
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
