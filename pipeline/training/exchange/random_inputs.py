"""Random inputs for comparing models."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.seeding import generator

_ROWS = 3  # Sequences in a batch.
_SCORED = 16  # Positions to predict in each.
_LENGTH = 512  # Of the longest, if the encoder has no limit, or no position table to check.


def random_inputs(model: Any, *, without: int | None = None) -> dict[str, np.ndarray]:
    """Returns a batch of random tokens in sequences of several lengths, including the longest possible.

    Args:
        model: a `BertPretrainerV2`.
        without: an id to leave out: that of padding, for which RoBERTa does not count positions.

    Returns:
        The model's inputs, int32: `input_word_ids`, `input_mask`, `input_type_ids` `[batch, seq_length]`, and
        `masked_lm_positions` `[batch, num_predictions]`.
    """
    encoder = model.encoder_network
    length, draw = encoder.max_sequence_length or _LENGTH, generator(0, "export-check")
    if getattr(encoder, "position_embedding", None) is None:
        length = min(length, _LENGTH)
    ids = draw.integers(encoder.vocab_size, size=(_ROWS, length), dtype=np.int32)
    if without is not None:
        ids = np.where(ids == without, (without + 1) % encoder.vocab_size, ids)
    lengths = np.array([length, *draw.integers(1, length + 1, size=_ROWS - 1)])
    inputs = {
        "input_word_ids": ids,
        "input_mask": (np.arange(length) < lengths[:, None]).astype(np.int32),
        "input_type_ids": draw.integers(encoder.type_vocab_size or 1, size=ids.shape, dtype=np.int32),
        "masked_lm_positions": (draw.random((_ROWS, _SCORED)) * lengths[:, None]).astype(np.int32),
    }
    return {name: inputs[name] for name in model.inputs}
