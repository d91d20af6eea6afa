"""The masks of a corpus that holds none: its own rules, and a rate that may change in the course of training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.manifest import Manifest
from pipeline.masking import MaskingPolicy
from pipeline.tokenizers import load_tokenizer
from pipeline.training.configs import DataConfig
from pipeline.training.data.dynamic_masking import DynamicMasking
from pipeline.training.data.source import RecordSource


def build_masking(source: RecordSource, config: DataConfig) -> list[DynamicMasking] | None:
    """What masks the batches of each bin; None if the records hold their masks.

    The unit and the rates are those that the corpus was made for; `config` may change the share of predictions. The
    room for predictions is the corpus's, or `config.max_predictions_per_seq`, or what a higher share needs.

    Raises:
        ConfigError: if the room that `config` gives is less than the share needs.
    """
    manifest = source.manifest
    if source.spec.masked or manifest is None:
        return None
    policy = corpus_policy(manifest)
    tokenizer = load_tokenizer(manifest.tokenizer, source.directory)
    maskings = []
    for group in source.bins:
        room = _room(group.spec.max_seq_length, group.spec.max_predictions_per_seq, config)
        maskings.append(
            DynamicMasking(
                dataclasses.replace(policy, max_predictions_per_seq=room),
                tokenizer.special_ids,
                tokenizer.ordinary_ids,
                config.seed or 0,
            )
        )
    return maskings


def corpus_policy(manifest: Manifest) -> MaskingPolicy:
    """The masking that a corpus was made for, by its manifest's options."""
    options = manifest.options
    return MaskingPolicy(
        max_predictions_per_seq=manifest.spec.max_predictions_per_seq,
        masked_lm_prob=options["masked_lm_prob"],
        unit=options["masking_unit"],
        max_ngram_size=options["max_ngram_size"],
        mask_prob=options["mask_prob"],
        random_prob=options["random_prob"],
    )


def _room(seq_length: int, corpus_room: int, config: DataConfig) -> int:
    """Most predictions of an example of some length."""
    rates = [rate for rate in (config.masked_lm_prob, config.final_masked_lm_prob) if rate is not None]
    needed = max((round(seq_length * rate) for rate in rates), default=0)
    chosen = config.max_predictions_per_seq
    if chosen is None:
        return max(corpus_room, needed)
    if chosen < needed:
        raise ConfigError(
            f"max_predictions_per_seq must be at least {needed}: that many of {seq_length} tokens are a share of"
            f" {max(rates)}",
            received=chosen,
            do="Leave max_predictions_per_seq out of the configuration: the loader then makes room",
        )
    return min(chosen, seq_length)


def masking_rate(config: DataConfig, corpus_rate: float) -> Callable[[Any], Any]:
    """The share of tokens to predict at a step of training.

    Args:
        config: where the share begins, where it ends, and how it gets there: with `t` the part of
            `masking_schedule_steps` that has passed, linearly in `t` or in `(1 - cos(pi t)) / 2`.
        corpus_rate: where it begins if `config` does not say.

    Returns:
        A function from the step, an int64 scalar, to the share, a float64 scalar.

    Raises:
        ConfigError: if the share is to change over an unknown number of steps.
    """
    begin = corpus_rate if config.masked_lm_prob is None else config.masked_lm_prob
    end, steps = config.final_masked_lm_prob, config.masking_schedule_steps
    if end is None:
        return lambda step: tf.constant(begin, tf.float64)
    if steps is None:
        raise ConfigError("final_masked_lm_prob needs masking_schedule_steps: the steps over which the share changes")

    def rate(step: Any) -> Any:
        part = tf.minimum(tf.cast(step, tf.float64) / steps, 1.0)
        if config.masking_schedule == "cosine":
            part = (1.0 - tf.cos(math.pi * part)) / 2.0
        return begin + (end - begin) * part

    return rate
