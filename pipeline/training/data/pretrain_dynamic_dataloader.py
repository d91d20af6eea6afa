"""Batches of similar lengths, under the names of tensorflow/models' `pretrain_dynamic_dataloader`.

For records of other tools. A corpus of ours is better made with bins of lengths (`corpus --bins`), which are read in
batches of one bin, and continued exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pipeline import files
from pipeline.config.tree import check_ranges, option
from pipeline.errors import ConfigError
from pipeline.reader.batches import OrderedBatches
from pipeline.reader.source import open_files
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import Parts, serialized_records, shuffled
from pipeline.training.data.pretrain_dataloader import for_training_by_default
from pipeline.training.data.source import first_record_spec, patterns

_SEQUENCES = ("input_word_ids", "input_mask", "input_type_ids", "position_ids")
_PREDICTIONS = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")


@dataclass(frozen=True)
class BertPretrainDataConfig(DataConfig):
    """What to read, and the lengths of its batches.

    Raises:
        ConfigError: for a value out of range, or lengths that do not ascend.
    """

    seq_bucket_lengths: tuple[int, ...] = option(
        (128, 256, 384, 512),
        "batch lengths: each sequence is padded to the first length that it fits in",
    )
    deterministic: bool = option(True, "option of tensorflow/models, has no effect: the order is always deterministic")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.stages:
            raise ConfigError("stages cannot be used with seq_bucket_lengths", do="Leave the stages out")
        lengths = self.seq_bucket_lengths
        if not lengths or lengths[0] < 1 or list(lengths) != sorted(set(lengths)):
            raise ConfigError(
                "seq_bucket_lengths must contain at least one length, in ascending order", received=lengths
            )


class PretrainingDynamicDataLoader:
    """Reads batches whose sequences have similar lengths.

    Padding at the end of sequences is left out, and batches are padded anew. Where examples of a batch have different
    numbers of predictions, the shorter lists are padded with a weight of 0; tensorflow/models refuses them.

    Args:
        params: what to read and how; shuffled and without end, unless `is_training` is false.
    """

    def __init__(self, params: BertPretrainDataConfig) -> None:
        self.params = for_training_by_default(params)

    def load(self, input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
        """Builds the dataset.

        Args:
            input_context: of `tf.distribute`. The batches of a global step have one length.

        Returns:
            Batches: dictionaries by v2 feature names, int32 and float32, `[batch, length]`.

        Raises:
            InputError: if nothing is found.
            ConfigError: if a batch cannot be divided among replicas.
            CorpusError: if the records are of another kind.
        """
        params = self.params
        parts = Parts.of(params.global_batch_size, input_context)
        infos = files.match(patterns(params.input_path))
        spec = first_record_spec(infos[0].path, params)
        source = open_files(infos, spec)
        size = params.global_batch_size
        batches = shuffled([source], params) if params.is_training else OrderedBatches([source], size)
        records = serialized_records(batches, parts)
        names = [(spec.stored_name(name), name) for name in self._names(spec.next_sentence)]
        lengths = tf.constant(params.seq_bucket_lengths, tf.int64)

        def parse(record: Any) -> dict[str, Any]:
            features = {stored: _feature(name) for stored, name in names}
            parsed = tf.io.parse_single_example(record, features)
            example = {name: parsed[stored] for stored, name in names}
            real = tf.cumsum(example["input_word_ids"], reverse=True) > 0
            for name in _SEQUENCES:
                if name in example:
                    example[name] = tf.boolean_mask(example[name], real)
            return {name: tf.cast(x, tf.int32) if x.dtype == tf.int64 else x for name, x in example.items()}

        def bucket(example: Mapping[str, Any]) -> Any:
            length = tf.size(example["input_word_ids"], tf.int64)
            tf.debugging.assert_less_equal(length, lengths[-1], "A sequence is longer than all seq_bucket_lengths.")
            return tf.searchsorted(lengths, length[None])[0]

        def batch(number: Any, examples: tf.data.Dataset) -> tf.data.Dataset:
            shapes = {name: lengths[number][None] if name in _SEQUENCES else [None] for _, name in names}
            drop = params.is_training if params.drop_remainder is None else params.drop_remainder
            return examples.padded_batch(size // parts.number, shapes, drop_remainder=drop)

        examples = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        grouped = examples.group_by_window(
            lambda example: tf.cast(bucket(example), tf.int64),
            batch,
            window_size=size // parts.number * parts.own,
        )
        return grouped.prefetch(2)

    def _names(self, next_sentence: bool) -> list[str]:
        """The features, by their v2 names."""
        names = [*_SEQUENCES[:3], *_PREDICTIONS]
        if next_sentence and self.params.use_next_sentence_label is not False:
            names.append("next_sentence_labels")
        return [*names, "position_ids"] if self.params.use_position_id else names


def _feature(name: str) -> Any:
    dtype = tf.float32 if name == "masked_lm_weights" else tf.int64
    return tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True)
