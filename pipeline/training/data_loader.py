"""Batches from TFRecords, in an order that a seed decides and that any position can be resumed from."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.record_columns import parsing_features
from pipeline.records import RecordSpec
from pipeline.training.configs import DataConfig
from pipeline.training.record_source import RecordSource, open_source

_NEVER = 2**40  # Epochs: more than will ever be trained.
_FILES = -1  # In the place of a block's index, for the order of the files.
_TRIM_MULTIPLE = 8  # Lengths that matrix kernels like.


def build_dataset(config: DataConfig, input_context: Any = None, *, start_example: int = 0) -> tf.data.Dataset:
    """Builds a dataset of batches.

    In training, epochs follow one another without end; in each the order of the files is drawn
    anew and examples are shuffled within blocks, both decided by the seed and the epoch alone.
    Otherwise every example comes once, in order.

    Args:
        config: what to read and how.
        input_context: of `tf.distribute`; splits the examples among input pipelines.
        start_example: training only: how many examples to pass over, to go on where a run stopped.

    Returns:
        Batches: dictionaries by v2 feature names, int32 and float32, `[batch, length]`. With
        `config.trim` the sequences are cut after the longest one's last token.

    Raises:
        InputError: if nothing is found.
        CorpusError: if the records are damaged, or other than `config` expects.
    """
    if config.input_path == "dummy":
        return _dummy_dataset(config)
    source = open_source(config)
    pipelines, index = 1, 0
    batch_size = config.global_batch_size
    if input_context is not None:
        pipelines, index = input_context.num_input_pipelines, input_context.input_pipeline_id
        batch_size = input_context.get_per_replica_batch_size(config.global_batch_size)
    if config.is_training:
        records = _training_records(source, config, start_example)
    else:
        records = tf.data.TFRecordDataset(list(source.paths), source.compression)
    if pipelines > 1:
        records = records.shard(pipelines, index)
    drop = config.is_training if config.drop_remainder is None else config.drop_remainder
    batches = records.batch(batch_size, drop_remainder=drop)
    batches = batches.map(
        lambda serialized: _parse(serialized, source.spec, trim=config.trim),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return batches.prefetch(2)


def _training_records(source: RecordSource, config: DataConfig, start_example: int) -> tf.data.Dataset:
    """Serialised examples, epoch after epoch."""
    first_epoch, passed = divmod(start_example, source.count_examples()) if start_example else (0, 0)
    paths = tf.constant(source.paths)
    seed = config.seed or 0

    def one_epoch(epoch: Any) -> tf.data.Dataset:
        files = tf.data.Dataset.from_tensor_slices(_shuffle(paths, seed, epoch, _FILES))
        records = files.interleave(
            lambda path: tf.data.TFRecordDataset(path, source.compression),
            cycle_length=min(config.cycle_length, len(source.paths)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        blocks = records.batch(config.shuffle_buffer_size).enumerate()
        return blocks.map(lambda index, block: _shuffle(block, seed, epoch, index)).unbatch()

    # Shuffled first, then passed over: reading on costs little, and the order stays the same.
    return tf.data.Dataset.range(first_epoch, _NEVER).flat_map(one_epoch).skip(passed)


def _shuffle(values: Any, seed: int, epoch: Any, block: Any) -> Any:
    """`values` in an order that the arguments alone decide.

    `Dataset.shuffle` would not do: its order depends on TensorFlow's global seed as well.
    """
    key = tf.random.fold_in(tf.stack([tf.constant(seed, tf.int64), epoch]), block)
    return tf.random.experimental.stateless_shuffle(values, seed=key)


def _parse(serialized: Any, spec: RecordSpec, *, trim: bool) -> dict[str, Any]:
    """Parses a batch of serialised examples at once."""
    parsed = tf.io.parse_example(serialized, parsing_features(spec))
    batch = {}
    v2_spec = dataclasses.replace(spec, feature_names="v2")
    for feature, stored in zip(v2_spec.features, spec.features, strict=True):
        tensor = parsed[stored.name]
        # Accelerators know int32 only.
        batch[feature.name] = tf.cast(tensor, tf.int32) if tensor.dtype == tf.int64 else tensor
    if trim:
        longest = tf.reduce_max(tf.reduce_sum(batch["input_mask"], axis=1))
        longest = -(-longest // _TRIM_MULTIPLE) * _TRIM_MULTIPLE
        for name in ("input_word_ids", "input_mask", "input_type_ids"):
            batch[name] = batch[name][:, :longest]
    return batch


def _dummy_dataset(config: DataConfig) -> tf.data.Dataset:
    """Batches of one example of zeros, without end, as tensorflow/models' "dummy"."""
    if config.seq_length is None or config.max_predictions_per_seq is None:
        raise ConfigError('The input_path "dummy" needs a seq_length and a max_predictions_per_seq')
    spec = RecordSpec(config.seq_length, config.max_predictions_per_seq)
    example = {
        feature.name: tf.zeros([1, feature.length], tf.float32 if feature.dtype == "float32" else tf.int32)
        for feature in spec.features
    }
    return tf.data.Dataset.from_tensors(example).repeat()
