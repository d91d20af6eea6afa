"""The masks of a corpus that holds none: its own rules, and a rate that may change in the course of training."""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.errors import ConfigError
from pipeline.reader.masks import ReadingMasks, masks_of
from pipeline.reader.source import RecordSource
from pipeline.training.configs import DataConfig


def build_masking(source: RecordSource, config: DataConfig) -> list[ReadingMasks] | None:
    """What masks the batches of each bin; None if the records hold their masks.

    The unit and the rates are those that the corpus was made for; `config` may change the share of predictions. The
    room for predictions is the corpus's, or `config.max_predictions_per_seq`, or what a higher share needs.

    Raises:
        ConfigError: if the room that `config` gives is less than the share needs.
    """
    if source.spec.masked:
        return None
    specs = [group.spec for group in source.bins]
    rooms = [_room(spec.max_seq_length, spec.max_predictions_per_seq, config) for spec in specs]
    return masks_of(source, config.seed or 0, rooms)


def _room(seq_length: int, corpus_room: int, config: DataConfig) -> int:
    """Most predictions of an example of some length."""
    rates = [rate for rate in (config.masked_lm_prob, config.final_masked_lm_prob) if rate is not None]
    needed = max((round(seq_length * rate) for rate in rates), default=0)
    chosen = config.max_predictions_per_seq
    if chosen is None:
        return max(corpus_room, needed)
    if chosen < needed:
        raise ConfigError(
            f"max_predictions_per_seq must be at least {needed}: a share of {max(rates)} of {seq_length} tokens",
            received=chosen,
            do="Leave max_predictions_per_seq out of the configuration: the loader then chooses it",
        )
    return min(chosen, seq_length)


def masking_rate(config: DataConfig, corpus_rate: float) -> Callable[[int], float]:
    """The share of tokens to predict at a step of training.

    Args:
        config: where the share begins, where it ends, and how it gets there: with `t` the part of
            `masking_schedule_steps` that has passed, linearly in `t` or in `(1 - cos(pi t)) / 2`.
        corpus_rate: where it begins if `config` does not say.

    Returns:
        A function from the step to the share.

    Raises:
        ConfigError: if the share is to change over an unknown number of steps.
    """
    begin = corpus_rate if config.masked_lm_prob is None else config.masked_lm_prob
    end, steps = config.final_masked_lm_prob, config.masking_schedule_steps
    if end is None:
        return lambda step: begin
    if steps is None:
        raise ConfigError("final_masked_lm_prob needs masking_schedule_steps: the steps over which the share changes")

    def rate(step: int) -> float:
        part = min(step / steps, 1.0)
        if config.masking_schedule == "cosine":
            part = (1.0 - math.cos(math.pi * part)) / 2.0
        return begin + (end - begin) * part

    return rate
